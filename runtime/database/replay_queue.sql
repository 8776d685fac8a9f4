-- name: resolve_rows!
-- These effects are there, or are not wanted any more: resolve the rows that sent the records, and the rows of the
-- same leads and kinds. Their payloads are not needed any more.
UPDATE replay_queue
SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL,
    updated_at = now()
WHERE state <> 'resolved' AND id IN (
    SELECT unnest(:queue_ids::uuid[])
    UNION ALL
    SELECT q.id FROM unnest(:lead_ids::uuid[], :kinds::text[]) AS effect (lead_id, kind)
    JOIN replay_queue q ON q.stage = :stage AND q.lead_id = effect.lead_id AND q.kind = effect.kind
                       AND NOT q.by_origin);
