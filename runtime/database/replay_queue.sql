-- name: resolve_rows!
-- Resolve the rows that sent these records, and the rows of the same leads and kinds: their effects exist, or are no
-- longer required. Empty their payloads.
UPDATE replay_queue
SET state = 'resolved', payload = NULL, original_payload = NULL, next_attempt_at = NULL, requested_at = NULL,
    updated_at = now()
WHERE state <> 'resolved' AND id IN (
    SELECT unnest(:queue_ids::uuid[])
    UNION ALL
    SELECT q.id FROM unnest(:lead_ids::uuid[], :kinds::text[]) AS effect (lead_id, kind)
    JOIN replay_queue q ON q.stage = :stage AND q.lead_id = effect.lead_id AND q.kind = effect.kind
                       AND NOT q.by_origin);
