-- Saved views of the list of leads: one person's, and the team's (docs/decisions/0040). A view has filters and an order, never
-- search words, which are personal data.

CREATE TABLE lead_view (
    id         uuid PRIMARY KEY,
    author     text NOT NULL,                      -- the actor who saved it
    shared     boolean NOT NULL,                   -- the team's: everybody sees it
    name       text NOT NULL,
    conditions jsonb NOT NULL,                     -- as in the URL of the list
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT view_name_is_bounded CHECK (char_length(name) BETWEEN 1 AND 60),
    CONSTRAINT view_conditions_are_bounded CHECK (octet_length(conditions::text) <= 8192)
);
CREATE UNIQUE INDEX lead_view_own ON lead_view (author, lower(name)) WHERE NOT shared;  -- list, one name each
CREATE UNIQUE INDEX lead_view_team ON lead_view (lower(name)) WHERE shared;
