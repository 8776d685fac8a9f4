-- The queries of search.py, planned for their values: see planning.sql. `{lead_filter}` is lead_filter.sql.

-- name: list_leads
-- A page of leads, newest first. Selects the ids first, so that skipped rows are read from the index only.
SELECT id, request_id, site, email, name, phone, company, service, status, assignee, created_at_utc,
       updated_at
FROM (
    SELECT id FROM lead_inbox
    WHERE {lead_filter}
      AND (:after_at::timestamptz IS NULL OR (created_at_utc, id) < (:after_at, :after_id::uuid))
    ORDER BY created_at_utc DESC, id DESC
    LIMIT :limit::bigint OFFSET :offset::bigint
) AS page JOIN lead_inbox USING (id)
ORDER BY created_at_utc DESC, id DESC;

-- name: gather_leads
-- The same for searches that match few leads: all of them, and a page of them. If the page is empty, one row without an
-- id has the total.
WITH matching AS MATERIALIZED (
    SELECT id, created_at_utc AS at FROM lead_inbox
    WHERE {lead_filter}
), page AS (
    SELECT id FROM matching WHERE :after_at::timestamptz IS NULL OR (at, id) < (:after_at, :after_id::uuid)
    ORDER BY at DESC, id DESC
    LIMIT :limit::bigint OFFSET :offset::bigint
)
SELECT total, id, request_id, site, email, name, phone, company, service, status, assignee, created_at_utc,
       updated_at
FROM (SELECT count(*) AS total FROM matching) AS counted LEFT JOIN (page JOIN lead_inbox USING (id)) ON true
ORDER BY created_at_utc DESC, id DESC;

-- name: count_leads$
-- How many leads match, counted up to a bound.
SELECT count(*) FROM (
    SELECT 1 FROM lead_inbox
    WHERE {lead_filter}
    LIMIT :bound::bigint
) AS matching;

-- name: count_newest$
-- The same for a small bound, from the newest lead on. Without an order, the planner may read the table from its
-- start, but the new leads are at its end. If fewer leads match than it expects, it reads the whole table.
SELECT count(*) FROM (
    SELECT 1 FROM lead_inbox
    WHERE {lead_filter}
    ORDER BY created_at_utc DESC, id DESC
    LIMIT :bound::bigint
) AS matching;

-- name: estimate_leads$
-- How many leads match, estimated from the planner's statistics.
EXPLAIN (FORMAT JSON)
SELECT 1 FROM lead_inbox
WHERE {lead_filter};

-- name: has_service$
-- Whether a lead has exactly this service.
SELECT EXISTS (SELECT FROM lead_inbox WHERE service = :service);

-- name: find_services
-- The services that contain a text, in upper or lower case. Reads one entry of the index lead_inbox_service for each
-- different service, of which there are few, instead of one for each lead.
WITH RECURSIVE services AS (
    (SELECT service FROM lead_inbox ORDER BY service LIMIT 1)
    UNION ALL
    SELECT (SELECT lead.service FROM lead_inbox AS lead WHERE lead.service > services.service
            ORDER BY lead.service LIMIT 1)
    FROM services WHERE services.service IS NOT NULL
)
SELECT service FROM services WHERE strpos(lower(service), lower(:part)) > 0;
