-- The query of search.py for other orders than newest first. `{lead_filter}` is lead_filter.sql, `{order}` an order.

-- name: list_sorted
-- A page of leads in an order. Selects the ids first, so that skipped rows are not read as a whole.
SELECT id, request_id, site, email, name, phone, company, service, status, assignee, created_at_utc
FROM (
    SELECT id FROM lead_inbox
    WHERE {lead_filter}
    ORDER BY {order}
    LIMIT :limit::bigint OFFSET :offset::bigint
) AS page JOIN lead_inbox USING (id)
ORDER BY {order};
