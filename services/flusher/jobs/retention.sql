-- Leads and records older than the retention period. erase_lead (migration 0009) defines what erasing means.

-- name: plan_for_values!
-- For the rest of this transaction, plan each chunk for its own values, and prefer an index in the wanted order to a sort: a
-- generic plan would sort all old leads of a site for each chunk.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true);

-- name: list_sites
-- The sites of all leads. Reads one entry of the index lead_inbox_site for each site.
WITH RECURSIVE sites AS (
    (SELECT site FROM lead_inbox ORDER BY site LIMIT 1)
    UNION ALL
    SELECT (SELECT lead.site FROM lead_inbox AS lead WHERE lead.site > sites.site ORDER BY lead.site LIMIT 1)
    FROM sites WHERE sites.site IS NOT NULL
)
SELECT site FROM sites WHERE site IS NOT NULL;

-- name: read_time$
-- The time by the database's clock.
SELECT now();

-- name: list_old_leads
-- Leads of a site that were received before a time, oldest first, after the last lead of the previous chunk.
SELECT id, created_at_utc FROM lead_inbox
WHERE site = :site AND created_at_utc < :before AND status <> 'erased'
  AND (created_at_utc, id) > (:after_at::timestamptz, :after_id::uuid)
ORDER BY created_at_utc, id
LIMIT :chunk::bigint;

-- name: list_old_queued
-- Queued records of leads that were never stored and failed before their site's time, after the last record of the previous
-- chunk. `sites` and `befores` are those times by site; `other_before` is the time of all other sites and of records whose
-- site cannot be read, and `latest` the latest of all times. A lead waits while another of its records names a site with a
-- longer period, because the erasure of a lead empties all its records.
SELECT q.id, q.lead_id, q.first_failed_at
FROM replay_queue q, LATERAL (SELECT coalesce(
    (:befores::timestamptz[])[array_position(:sites::text[], record_site(q.origin_topic, q.payload))],
    :other_before::timestamptz)) AS own (before)
WHERE q.lead_id IS NOT NULL AND q.payload IS NOT NULL AND q.first_failed_at < :latest::timestamptz
  AND (q.first_failed_at, q.id) > (:after_at::timestamptz, :after_id::uuid)
  AND NOT EXISTS (SELECT FROM lead_inbox l WHERE l.id = q.lead_id)
  AND q.first_failed_at < own.before
  AND own.before <= ALL (
      SELECT coalesce((:befores::timestamptz[])[array_position(:sites::text[], named.site)],
                      :other_before::timestamptz, '-infinity')
      FROM replay_queue r, LATERAL (SELECT record_site(r.origin_topic, r.payload)) AS named (site)
      WHERE r.lead_id = q.lead_id AND r.payload IS NOT NULL AND named.site IS NOT NULL)
ORDER BY q.first_failed_at, q.id
LIMIT :chunk::bigint;

-- name: empty_old_rows$
-- Empty the records that failed before their site's time (as in list_old_queued) and belong to no lead or to another lead's id.
WITH emptied AS (
    UPDATE replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(), state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE (lead_id IS NULL OR by_origin) AND (payload IS NOT NULL OR original_payload IS NOT NULL)
      AND first_failed_at < :latest::timestamptz AND last_failed_at < coalesce(
          (:befores::timestamptz[])[array_position(
              :sites::text[], record_site(origin_topic, coalesce(payload, original_payload)))],
          :other_before::timestamptz)
    RETURNING id, stage, kind
), audited AS (
    INSERT INTO audit_log (event_id, event, actor, details_json)
    SELECT gen_random_uuid(), 'lead.erased', :actor,
           jsonb_build_object('queue_id', id, 'stage', stage, 'kind', kind)
    FROM emptied
), planned AS MATERIALIZED (
    SELECT request_statistics() FROM emptied LIMIT 1
)
SELECT count(*) + 0 * (SELECT count(*) FROM planned) FROM emptied;

-- name: refresh_statistics$
-- ANALYZE what may hold personal data, with the owner's rights.
SELECT refresh_statistics();

-- name: stop_job!
-- The job is switched off, so it has no next run.
UPDATE scheduled_job SET next_run_at = NULL WHERE name = :name;
