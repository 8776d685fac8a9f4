-- A failure that lasts: first seen, last seen, who takes care of it. The poll of each admin process writes what it sees.

CREATE TABLE incident (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key             text NOT NULL,               -- which failure it is, while its numbers change
    component       text NOT NULL,
    reason          text NOT NULL,               -- the words of the headline, when it was last seen
    severity        text NOT NULL,
    url             text NOT NULL DEFAULT '',
    affected_leads  bigint,                      -- the most that were seen; null if it is not known
    first_seen_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),
    owner           text,
    acknowledged_at timestamptz,
    resolved_at     timestamptz,
    resolved_by     text,                        -- an admin, or 'fastcore': the failure is gone
    CONSTRAINT incident_severity_is_known CHECK (severity IN ('bad', 'amber')),
    CONSTRAINT incident_resolver_is_known CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
);
CREATE UNIQUE INDEX incident_open ON incident (key) WHERE resolved_at IS NULL;  -- one writer's row, of all processes
CREATE INDEX incident_newest ON incident (first_seen_at DESC, id DESC);         -- the list
