-- A lead that came beyond a limit, and in which nothing looks like spam, is `held`: no email is sent for it. The team
-- gets one email about the held leads of a site, at most once an hour, and releases them.

-- Not validated: every row satisfies the constraint before, which allowed less, and a scan would lock out all writers.
ALTER TABLE lead_inbox DROP CONSTRAINT lead_status_is_known;
ALTER TABLE lead_inbox ADD CONSTRAINT lead_status_is_known CHECK (status IN
    ('received', 'processing', 'contacted', 'won', 'lost', 'held', 'spam', 'erased')) NOT VALID;
CREATE INDEX lead_inbox_held ON lead_inbox (site, created_at_utc, id) WHERE status = 'held';

-- One email to the team about the held leads of a site. It is due at `next_attempt_at` while `sent_at` is null.
CREATE TABLE held_digest (
    id              uuid PRIMARY KEY,
    site            text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    reason          text,                    -- why the last attempt failed
    sent_at         timestamptz
);
CREATE INDEX held_digest_site ON held_digest (site, created_at DESC);  -- the last digest of a site
CREATE INDEX held_digest_due ON held_digest (next_attempt_at) WHERE sent_at IS NULL;

-- The leads whose notification was suppressed because they are held, and the digest that lists each. No personal data.
CREATE TABLE held_lead (
    lead_id   uuid PRIMARY KEY,
    site      text NOT NULL,
    held_at   timestamptz NOT NULL DEFAULT now(),
    digest_id uuid REFERENCES held_digest
);
CREATE INDEX held_lead_undigested ON held_lead (site, held_at) WHERE digest_id IS NULL;
CREATE INDEX held_lead_digest ON held_lead (digest_id, held_at);
