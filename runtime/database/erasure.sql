-- name: block_erasures!
-- Block erasures until this transaction ends: erase_lead takes the same lock exclusively.
SELECT pg_advisory_xact_lock_shared(hashtextextended('fastcore.erase', 0));

-- name: erase_lead$
-- Remove the personal data from everything that is stored about a lead (migration 0009).
SELECT erase_lead(:id, :actor);
