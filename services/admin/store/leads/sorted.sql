-- The queries of orders.py for other orders than newest first. `{lead_filter}` is lead_filter.sql; `{key}`, `{order}` and
-- `{beyond}` are those of an order.

-- name: list_sorted
-- A page of leads in an order. Selects the ids first, so that skipped rows are not read as a whole.
SELECT id, request_id, site, email, name, phone, company, service, status, assignee, created_at_utc, updated_at,
       ({key})::text AS sort_key
FROM (
    SELECT id FROM lead_inbox
    WHERE {lead_filter}
      AND (:after_id::uuid IS NULL OR {beyond})
    ORDER BY {order}
    LIMIT :limit::bigint OFFSET :offset::bigint
) AS page JOIN lead_inbox USING (id)
ORDER BY {order};

-- name: gather_sorted
-- The same for filters that few leads match: all of them, then a page. The order's index would be read for long.
WITH matching AS MATERIALIZED (
    SELECT id, created_at_utc, updated_at, name, status, assignee FROM lead_inbox
    WHERE {lead_filter}
)
SELECT id, request_id, site, email, name, phone, company, service, status, assignee, created_at_utc, updated_at,
       ({key})::text AS sort_key
FROM (
    SELECT id FROM matching
    WHERE :after_id::uuid IS NULL OR {beyond}
    ORDER BY {order}
    LIMIT :limit::bigint OFFSET :offset::bigint
) AS page JOIN lead_inbox USING (id)
ORDER BY {order};

-- name: find_key$
-- The sort key of a lead.
SELECT ({key})::text FROM lead_inbox WHERE id = :id;
