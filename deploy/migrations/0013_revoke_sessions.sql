-- Sessions of the dashboard that were signed out before they expired. A session is signed and needs no row; a revoked
-- one has a row that every replica sees. Rows are few (one for each sign-out), some 100 bytes, and stay.
CREATE TABLE revoked_session (
    session_digest bytea PRIMARY KEY                                 -- SHA-256 of the session's id; also the look-up
        CONSTRAINT session_digest_is_sha256 CHECK (octet_length(session_digest) = 32),
    revoked_at timestamptz NOT NULL DEFAULT now()
);
