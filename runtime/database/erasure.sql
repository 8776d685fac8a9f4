-- name: block_erasures!
-- No lead is erased until this transaction ends (erase_lead holds this lock alone).
SELECT pg_advisory_xact_lock_shared(hashtextextended('fastcore.erase', 0));

-- name: erase_lead$
-- Remove the person from everything that is stored of a lead (migration 0009).
SELECT erase_lead(:id, :actor);
