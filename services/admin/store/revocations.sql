-- Sessions that were signed out. Every page asks by the primary key.

-- name: revoke!
-- End a session; a second sign-out changes nothing.
INSERT INTO revoked_session (session_digest) VALUES (:session_digest) ON CONFLICT DO NOTHING;

-- name: is_revoked$
-- Was this session signed out?
SELECT EXISTS (SELECT FROM revoked_session WHERE session_digest = :session_digest);
