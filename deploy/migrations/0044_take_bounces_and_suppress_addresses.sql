-- An email that was sent may bounce, or its recipient may report it as spam. An address that does not exist gets no further
-- confirmation, and a person who complained gets none of that site.
--
-- sent | unknown | waiting | sending (lease over) -> bounced | complained   a provider's event, or a report by mail
-- bounced -> complained                                                     the same, later
-- bounced -> reserved                                                       only by an admin's resend
ALTER TABLE email_delivery
    DROP CONSTRAINT delivery_state_is_known,
    ADD CONSTRAINT delivery_state_is_known CHECK (state IN
        ('reserved', 'sending', 'sent', 'waiting', 'dead', 'unknown', 'suppressed', 'bounced', 'complained'));

-- An address is kept as HMAC-SHA256 of its mailbox (runtime.mailbox.mailbox_key), never as itself.
CREATE TABLE suppressed_address (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    digest     bytea NOT NULL,
    site       text,                        -- null: confirmations of all sites
    reason     text NOT NULL,
    lead_id    uuid,                        -- the lead whose email bounced or was reported; null if an admin added it
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '180 days',
    CONSTRAINT suppression_reason_is_known CHECK (reason IN ('bounced', 'complained', 'manual')),
    CONSTRAINT suppression_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT address_is_suppressed_once UNIQUE NULLS NOT DISTINCT (digest, site)  -- the notifier's lookup
);
CREATE INDEX suppressed_address_newest ON suppressed_address (created_at DESC, id DESC);  -- the list
CREATE INDEX suppressed_address_expiry ON suppressed_address (expires_at);                -- the daily removal

-- The key of the digests. Without it, nobody can test whether a digest is that of a guessed address.
CREATE TABLE digest_key (
    purpose text PRIMARY KEY,
    key     bytea NOT NULL
);
INSERT INTO digest_key (purpose, key)
VALUES ('suppressed_address', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
