-- name: digest_key$
-- The key of all digests. It never changes.
SELECT key FROM digest_key WHERE purpose = 'suppressed_address';

-- name: find_suppressed
-- The entries of these digests that have not expired.
SELECT digest, site, reason FROM suppressed_address WHERE digest = ANY(:digests::bytea[]) AND expires_at > now();

-- name: suppress_address$
-- Add an entry, or let a known one last 180 days from now. Returns its id.
INSERT INTO suppressed_address AS known (digest, site, reason, lead_id, created_by)
VALUES (:digest, :site, :reason, :lead_id, :actor)
ON CONFLICT (digest, site) DO UPDATE
SET reason = excluded.reason, lead_id = excluded.lead_id, created_by = excluded.created_by, created_at = now(),
    expires_at = excluded.expires_at
RETURNING id;
