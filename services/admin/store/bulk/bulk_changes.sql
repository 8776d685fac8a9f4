-- The queries of bulk_changes.py and bulk_worker.py, planned for their values. `{lead_filter}` is lead_filter.sql,
-- `{columns}` are the columns of an action `b`, and `{held_up}` is true while its destination is disabled or paused.

-- name: count_chosen
-- How many leads are chosen, by status and, for an assignment, by assignee, up to a bound. Without the assignee, an index has all.
SELECT status, assignee, count(*) AS leads FROM (
    SELECT status, CASE WHEN :by_assignee::boolean THEN assignee END AS assignee FROM lead_inbox
    WHERE (:ids::uuid[] IS NULL OR id = ANY(:ids)) AND {lead_filter}
    LIMIT :bound::bigint
) AS chosen GROUP BY status, assignee ORDER BY status, assignee;

-- name: choose_leads!
-- Store the chosen leads as the items of an action, the newest first.
INSERT INTO bulk_change_item (bulk_id, position, lead_id)
SELECT :bulk_id, row_number() OVER (ORDER BY created_at_utc DESC, id DESC), id FROM lead_inbox
WHERE (:ids::uuid[] IS NULL OR id = ANY(:ids)) AND {lead_filter};

-- name: start^
INSERT INTO bulk_change AS b (id, actor, action, value, per_second, total)
VALUES (:bulk_id, :actor, :action, :value, :per_second, 0)
RETURNING {columns};

-- name: set_total^
-- Set the number of items. An action without items is finished.
UPDATE bulk_change AS b SET total = (SELECT count(*) FROM bulk_change_item WHERE bulk_id = :bulk_id)
WHERE id = :bulk_id
RETURNING {columns};

-- name: get_bulk^
SELECT {columns}
FROM bulk_change AS b WHERE id = :bulk_id;

-- name: list_bulks
-- A page of the actions, newest first.
SELECT {columns}
FROM bulk_change AS b
WHERE :after_at::timestamptz IS NULL OR (created_at, id) < (:after_at, :after_id::uuid)
ORDER BY created_at DESC, id DESC LIMIT :limit::bigint;

-- name: count_results
SELECT result, count(*) AS leads FROM bulk_change_item
WHERE bulk_id = :bulk_id AND position < :next_position GROUP BY result;

-- name: list_items
-- A page of the items, in order; those with one result, or all.
SELECT item.position, item.lead_id, item.result, item.reason, lead.name, lead.email, lead.phone, lead.status
FROM bulk_change_item AS item LEFT JOIN lead_inbox AS lead ON lead.id = item.lead_id
WHERE item.bulk_id = :bulk_id AND item.position > :after::integer
  AND (:result::text IS NULL OR item.result = :result)
ORDER BY item.position LIMIT :limit::bigint;

-- name: cancel^
UPDATE bulk_change AS b SET cancelled_at = now(), updated_at = now()
WHERE id = :bulk_id AND finished_at IS NULL AND cancelled_at IS NULL
RETURNING {columns};

-- name: has_running$
-- Whether a bulk change can continue. Queried without a transaction: every second if one can, else every 5 s.
SELECT EXISTS (SELECT FROM bulk_change WHERE finished_at IS NULL AND cancelled_at IS NULL);

-- name: take_running^
-- The next action that can continue, locked, so that only one process at a time works at it. A cancellation waits
-- until the chunk is done. An action with a rate continues once a second, with `allowed` leads, so that it does not
-- delay other actions. An action that this version does not know is left to a newer version. An action that failed
-- comes after the others.
SELECT b.id, b.actor, b.action, b.value, b.total, b.next_position, b.failures,
       CASE WHEN b.per_second IS NULL THEN :chunk::integer
            ELSE least(:chunk, floor(extract(epoch FROM now() - b.updated_at) * b.per_second))::integer END AS allowed
FROM bulk_change AS b
WHERE b.finished_at IS NULL AND b.cancelled_at IS NULL AND b.action = ANY(:actions::text[])
  AND (b.retry_at IS NULL OR b.retry_at <= now())
  AND (b.per_second IS NULL OR b.updated_at <= now() - interval '1 second' AND NOT {held_up})
ORDER BY b.retry_at NULLS FIRST, b.created_at LIMIT 1 FOR UPDATE OF b SKIP LOCKED;

-- name: try_later!
-- Try the next leads of an action later. `failures` is how often they failed in a row.
UPDATE bulk_change SET failures = :failures, retry_at = now() + :wait::interval, retry_reason = :reason WHERE id = :bulk_id;

-- name: prepare!
-- Let this transaction work at the actions with a rate (migration 0037), and wait only so long for a lead or an erasure
-- lock that somebody holds.
SELECT set_config('fastcore.bulk_rates', 'on', true), set_config('lock_timeout', :lock_timeout::text, true);

-- name: next_items
SELECT position, lead_id FROM bulk_change_item
WHERE bulk_id = :bulk_id AND position >= :next_position ORDER BY position LIMIT :limit::bigint;

-- name: lock_leads
-- These leads, locked in the order of their ids.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, assignee, created_at_utc
FROM lead_inbox WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR UPDATE;

-- name: set_assignee!
UPDATE lead_inbox SET assignee = :assignee, updated_at = now() WHERE id = ANY(:ids::uuid[]);

-- name: save_results!
UPDATE bulk_change_item AS item SET result = done.result, reason = done.reason
FROM unnest(:positions::integer[], :results::text[], :reasons::text[]) AS done (position, result, reason)
WHERE item.bulk_id = :bulk_id AND item.position = done.position;

-- name: advance!
UPDATE bulk_change SET next_position = :next_position, updated_at = now(), failures = :failures, retry_at = NULL, retry_reason = NULL,
       finished_at = CASE WHEN :next_position > total THEN now() END
WHERE id = :bulk_id;
