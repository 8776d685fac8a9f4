-- The canary (docs/decisions/0073): synthetic leads, which no other table ever has, and what each hop did with them.

CREATE TABLE canary (
    id      uuid PRIMARY KEY,
    site    text NOT NULL,
    route   text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT canary_route_is_known CHECK (route IN ('form', 'website', 'api'))
);
CREATE INDEX canary_newest ON canary (site, route, sent_at DESC);
CREATE INDEX canary_oldest ON canary (sent_at);

-- What one hop did with one canary. `seconds` is the time since the canary was sent.
CREATE TABLE canary_result (
    canary_id   uuid NOT NULL REFERENCES canary ON DELETE CASCADE,
    hop         text NOT NULL,
    ok          boolean NOT NULL,
    reason      text NOT NULL DEFAULT '',
    seconds     double precision NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (canary_id, hop)
);

-- A record that is a canary is counted as one, and has no row elsewhere. Earlier services count no canary. The rows of now
-- satisfied the constraint of before, and the new column is 0, so that nothing has to be checked.
-- The constraint that is dropped guarantees the same for services that count no canary.
ALTER TABLE partition_ledger
    ADD COLUMN canary bigint NOT NULL DEFAULT 0,
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT books_balance,
    ADD CONSTRAINT books_balance CHECK
        (next_offset - base_offset = stored + duplicate + parked + undecodable + missing + canary) NOT VALID;
