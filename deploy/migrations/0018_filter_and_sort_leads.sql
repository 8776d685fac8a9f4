-- The list of leads by website, assignee and campaign source, and in other orders than by time.
CREATE INDEX lead_inbox_site ON lead_inbox (site, created_at_utc DESC, id DESC);
CREATE INDEX lead_inbox_assignee ON lead_inbox (assignee, created_at_utc DESC, id DESC) WHERE assignee IS NOT NULL;
CREATE INDEX lead_inbox_source ON lead_inbox ((source ->> 'utm_source'), created_at_utc DESC, id DESC) WHERE source IS NOT NULL;
CREATE INDEX lead_inbox_name ON lead_inbox (lower(name), id);
