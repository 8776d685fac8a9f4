-- Team notifications that are not sent at once: a digest lists them (docs/decisions/0055).

-- collected -> sending        the digest that lists it is being sent
-- collected -> suppressed     the lead was erased, or marked as spam, before that
-- collected | waiting | unknown -> sending    only by its digest, while collected_alert has its row
-- Not validated: every row satisfies the constraint before, which allowed less, and a scan would lock out all writers.
ALTER TABLE email_delivery DROP CONSTRAINT delivery_state_is_known;
ALTER TABLE email_delivery ADD CONSTRAINT delivery_state_is_known CHECK (state IN
    ('reserved', 'collected', 'sending', 'sent', 'waiting', 'dead', 'unknown', 'suppressed', 'bounced', 'complained'))
    NOT VALID;

-- `collected` is no outcome (migration 0045).
DROP TRIGGER email_delivery_notes_outcome ON email_delivery;
CREATE TRIGGER email_delivery_notes_outcome BEFORE UPDATE OF state ON email_delivery
    FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state
                       AND NEW.state NOT IN ('reserved', 'collected', 'sending', 'suppressed'))
    EXECUTE FUNCTION note_email_outcome();

-- When an alert was last requested: what a burst is counted by. Null for welcomes, and for alerts that were suppressed.
ALTER TABLE email_delivery ADD COLUMN requested_at timestamptz;
-- A list of recipients may be longer than an entry of an index, so its hash is indexed.
CREATE INDEX email_delivery_alerts ON email_delivery (site, hashtextextended(recipient, 0), requested_at)
    WHERE kind = 'admin_alert' AND requested_at IS NOT NULL;

-- One email to the team that lists several leads, until `ended_at`: sent, or failed for good.
CREATE TABLE alert_digest (
    id              uuid PRIMARY KEY,
    site            text NOT NULL,
    recipient       text NOT NULL,               -- the team's addresses
    part            integer NOT NULL,            -- a long list is sent in several parts
    parts           integer NOT NULL,
    owner           uuid,                        -- the process that holds the lease
    lease_until     timestamptz,
    attempts        integer NOT NULL DEFAULT 0,  -- that failed; an unavailable server uses up none
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    reason          text,                        -- why the last attempt failed
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz
);
CREATE INDEX alert_digest_due ON alert_digest (next_attempt_at, part) WHERE ended_at IS NULL;

-- The alerts that a digest lists or will list. The rows are deleted with the outcome, or when the lead is erased: they
-- have the record that requested the alert, with personal data.
CREATE TABLE collected_alert (
    lead_id          uuid PRIMARY KEY,
    site             text NOT NULL,
    service          text NOT NULL,                 -- with the locale, what the rules for recipients go by
    locale           text,
    collected_at     timestamptz NOT NULL DEFAULT now(),
    due_at           timestamptz NOT NULL,
    digest_id        uuid REFERENCES alert_digest,  -- null until a digest is due
    record_id        uuid NOT NULL,                 -- the id of the record's failure, if there is one
    record_topic     text NOT NULL,
    record_partition integer NOT NULL,
    record_offset    bigint NOT NULL,
    record_timestamp bigint NOT NULL,
    record_key       bytea,
    payload          bytea NOT NULL,
    headers          jsonb NOT NULL
);
CREATE INDEX collected_alert_next ON collected_alert (site, due_at) WHERE digest_id IS NULL;
CREATE INDEX collected_alert_digest ON collected_alert (digest_id);

-- An erasure empties the recipient. The lead then leaves the digest.
CREATE FUNCTION leave_digest() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM collected_alert WHERE lead_id = NEW.lead_id;
    IF NEW.state = 'collected' THEN
        NEW.state := 'suppressed';
        NEW.reason := 'erased';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER email_delivery_leaves_digest BEFORE UPDATE OF recipient ON email_delivery
    FOR EACH ROW WHEN (NEW.recipient IS NULL AND NEW.kind = 'admin_alert') EXECUTE FUNCTION leave_digest();
