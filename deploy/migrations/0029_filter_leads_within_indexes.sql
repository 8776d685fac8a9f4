-- Two filters on these columns are checked within one index. So a count, or an order whose first leads do not match, reads no row
-- of the table for each lead that it passes over. A row of a B-tree index has at most 2,704 bytes: the longest values fit.
DROP INDEX lead_inbox_status;
CREATE INDEX lead_inbox_status ON lead_inbox (status, created_at_utc DESC, id DESC) INCLUDE (service, site, assignee);
DROP INDEX lead_inbox_by_assignee;
CREATE INDEX lead_inbox_by_assignee
    ON lead_inbox ((CASE WHEN assignee > '' THEN '0' || assignee ELSE '1' END), created_at_utc DESC, id DESC)
    INCLUDE (assignee, status, site);
