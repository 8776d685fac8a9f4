-- The orders of the list of leads. A page begins after the sort key of the page before, so each order has one expression
-- that an index has too. Leads without a name or an assignee come last.
DROP INDEX lead_inbox_name;
CREATE INDEX lead_inbox_by_name ON lead_inbox ((CASE WHEN name > '' THEN '0' || lower(name) ELSE '1' END), id);
CREATE INDEX lead_inbox_by_assignee
    ON lead_inbox ((CASE WHEN assignee > '' THEN '0' || assignee ELSE '1' END), created_at_utc DESC, id DESC);
