-- The admin service's queries. Lists are planned for the values in hand (plan_for_these_values!): with a
-- generic plan "no filter or this one" would walk the whole table.

-- name: plan_for_these_values!
-- Filters are optional; the planner must see which are given. What is asked for is mostly in memory, or on a
-- disk without heads: a table is not read whole only to read it in order.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true);

-- name: get_lead^
-- One lead, null where it is not stored, with its mails, its rows in the replay queue and what happened to it, in order.
-- One statement is one moment, and one round trip. A lead has a handful of entries; the bound is for one gone wild.
SELECT lead.id, lead.request_id, lead.site, lead.email, lead.service, lead.status, lead.name, lead.phone,
       lead.company, lead.message, lead.consent, lead.consent_text, lead.consent_version, lead.locale,
       lead.submitted_at, lead.source, lead.extra, lead.spam_reasons, lead.body_sha256, lead.assignee, lead.notes,
       lead.created_at_utc, lead.stored_at, lead.updated_at,
       emails, queue, entries
FROM (VALUES (:id::uuid)) AS asked (id)
LEFT JOIN lead_inbox AS lead USING (id)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(mail ORDER BY kind DESC), '[]') FROM email_delivery AS mail WHERE lead_id = asked.id
) AS mails (emails)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(item ORDER BY first_failed_at, id), '[]')
    FROM (SELECT id, stage, kind, lead_id, state, final, reason, error, attempts, next_attempt_at, requested_at,
                 requested_by, last_sent_at, origin_topic, origin_partition, origin_offset, origin_timestamp, made_by,
                 first_failed_at, last_failed_at
          FROM replay_queue WHERE lead_id = asked.id) AS item
) AS items (queue)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(entry ORDER BY created_at_utc, id), '[]')
    FROM (SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
          FROM audit_log WHERE lead_id = asked.id ORDER BY created_at_utc, id LIMIT 1000) AS entry
) AS told (entries);

-- name: lock_lead^
-- One lead, kept from others until this transaction ends.
SELECT id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
       consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, assignee, notes,
       created_at_utc, stored_at, updated_at
FROM lead_inbox WHERE id = :id FOR UPDATE;

-- name: set_status^
-- Change a lead's status.
UPDATE lead_inbox SET status = :status, updated_at = now() WHERE id = :id
RETURNING id, request_id, site, email, service, status, name, phone, company, message, consent, consent_text,
          consent_version, locale, submitted_at, source, extra, spam_reasons, body_sha256, assignee, notes,
          created_at_utc, stored_at, updated_at;

-- name: delivery_state$
-- The state of one mail; null where the notifier has not seen the lead yet.
SELECT state FROM email_delivery WHERE lead_id = :id AND kind = :kind;

-- name: request_mails
-- Have the notifier take these mails again, now. A row that is there is taken back to waiting with three
-- new retries; who made it stays, for the books count rows by their maker. What was sent stays sent.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, attempts, next_attempt_at,
                          requested_at, requested_by, origin_topic, origin_partition, origin_offset,
                          origin_timestamp, origin_group, record_key, payload, headers, made_by,
                          first_failed_at, last_failed_at)
SELECT gen_random_uuid(), 'notifier', kind, :lead_id, 'waiting', :reason, 'AdminRequest', 0, now(),
       now(), :actor, 'admin', -1, -1,
       now(), 'admin', convert_to(:lead_id::uuid::text, 'UTF8'), :payload::bytea, :headers::jsonb, 'admin',
       now(), now()
FROM unnest(:kinds::text[]) AS wanted (kind)
WHERE NOT EXISTS (SELECT 1 FROM email_delivery AS mail
                  WHERE mail.lead_id = :lead_id AND mail.kind = wanted.kind AND mail.state = 'sent')
ON CONFLICT (stage, lead_id, kind) WHERE lead_id IS NOT NULL AND NOT by_origin DO UPDATE
SET state = 'waiting', final = false, attempts = 0, next_attempt_at = now(), requested_at = now(),
    requested_by = excluded.requested_by, requested_comment = NULL, record_key = excluded.record_key, payload = excluded.payload,
    headers = excluded.headers, updated_at = now()
RETURNING id, kind;

-- name: add_audit_entry!
-- Write one entry in the transaction of what it tells.
INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
VALUES (gen_random_uuid(), :event, :actor, :details, :lead_id::uuid, :request_id::text);

-- name: list_audit
-- A page of the audit log, newest first.
SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
FROM audit_log
WHERE (:event::text IS NULL OR event = :event)
  AND (:lead_id::uuid IS NULL OR lead_id = :lead_id)
  AND (:request_id::text IS NULL OR request_id = :request_id)
  AND (:actor::text IS NULL OR actor = :actor)
  AND (:since::timestamptz IS NULL OR created_at_utc >= :since)
  AND (:until::timestamptz IS NULL OR created_at_utc < :until)
  AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::bigint))
ORDER BY created_at_utc DESC, id DESC
LIMIT :limit::bigint;

-- name: list_audit_of_actor
-- The same for what somebody did: the newest of each event, and the newest of those.
SELECT id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc
FROM unnest(:events::text[]) AS told (event)
CROSS JOIN LATERAL (
    SELECT id, actor, status_code, details_json, lead_id, request_id, created_at_utc FROM audit_log
    WHERE actor = :actor AND audit_log.event = told.event
      AND (:since::timestamptz IS NULL OR created_at_utc >= :since)
      AND (:until::timestamptz IS NULL OR created_at_utc < :until)
      AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::bigint))
    ORDER BY created_at_utc DESC, id DESC LIMIT :limit::bigint
) AS entry
ORDER BY created_at_utc DESC, id DESC
LIMIT :limit::bigint;

-- name: list_queue
-- A page of the replay queue, the last failure first.
SELECT id, stage, kind, lead_id, state, final, reason, error, attempts, next_attempt_at, requested_at,
       requested_by, last_sent_at, origin_topic, origin_partition, origin_offset, made_by, first_failed_at,
       last_failed_at
FROM replay_queue
WHERE (:stage::text IS NULL OR stage = :stage)
  AND (:kind::text IS NULL OR kind = :kind)
  AND (:state::text IS NULL OR state = :state)
  AND (:reason::text IS NULL OR reason = :reason)
  AND (:lead_id::uuid IS NULL OR lead_id = :lead_id)
  AND (:since::timestamptz IS NULL OR last_failed_at >= :since)
  AND (:until::timestamptz IS NULL OR last_failed_at < :until)
  AND (:after_at::timestamptz IS NULL OR (last_failed_at, id) < (:after_at, :after_id::uuid))
ORDER BY last_failed_at DESC, id DESC
LIMIT :limit::bigint;

-- name: request_waiting$
-- Everything that waits is wanted now; a flusher takes it within its poll.
WITH wanted AS (
    UPDATE replay_queue SET requested_at = now(), requested_by = :actor, requested_comment = NULL,
                            updated_at = now()
    WHERE state = 'waiting' RETURNING 1
)
SELECT count(*) FROM wanted;

-- name: request_job$
-- A job is wanted now; a flusher takes it within its poll. Returns what its last run saw.
UPDATE scheduled_job SET requested_at = now() WHERE name = :name RETURNING last_details;

-- name: archive_waiting
-- What waits is archived, payload and all, so that it can be replayed later; an audit entry for each row.
WITH archived AS (
    UPDATE replay_queue
    SET state = 'archived', next_attempt_at = NULL, requested_at = NULL, updated_at = now()
    WHERE state = 'waiting' AND (:stage::text IS NULL OR stage = :stage)
    RETURNING id, stage, kind, lead_id, reason
), told AS (
    INSERT INTO audit_log (event_id, event, actor, details_json, lead_id)
    SELECT gen_random_uuid(), 'lead.archived', :actor,
           jsonb_build_object('queue_id', id, 'stage', stage, 'kind', kind, 'reason', reason), lead_id
    FROM archived
)
SELECT stage, count(*) AS rows FROM archived GROUP BY stage ORDER BY stage;

-- name: list_jobs
-- The scheduled jobs; overdue a minute after their time, for a run may take a while to begin.
SELECT name, schedule, runs, last_started_at, last_finished_at, last_outcome, last_duration_ms, last_details,
       next_run_at, coalesce(next_run_at < now() - interval '1 minute', false) AS overdue
FROM scheduled_job ORDER BY name;

-- name: lock_stage^
-- A stage's breaker, kept from others until this transaction ends.
SELECT paused FROM stage_control WHERE stage = :stage FOR UPDATE;

-- name: resume_stage!
-- Close a stage's breaker.
UPDATE stage_control SET paused = false, reason = NULL, changed_at = now(), changed_by = :actor
WHERE stage = :stage;
