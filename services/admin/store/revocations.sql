-- The queries of store/revocations.py. Every page looks up its session by the primary key.

-- name: revoke!
-- Revoke a session. A repetition changes nothing.
INSERT INTO revoked_session (session_digest) VALUES (:session_digest) ON CONFLICT DO NOTHING;

-- name: is_revoked$
-- Whether a session is revoked.
SELECT EXISTS (SELECT FROM revoked_session WHERE session_digest = :session_digest);
