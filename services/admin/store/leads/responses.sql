-- The queries of responses.py. Migration 0019 keeps lead_response.

-- name: count_arrivals^
-- Leads and spam since `today`, and from `yesterday` until the same time (index lead_inbox_created).
SELECT count(*) FILTER (WHERE created_at_utc >= :today::timestamptz AND status <> 'spam') AS leads,
       count(*) FILTER (WHERE created_at_utc >= :today::timestamptz AND status = 'spam') AS spam,
       count(*) FILTER (WHERE created_at_utc < :same_time::timestamptz AND status <> 'spam') AS leads_before,
       count(*) FILTER (WHERE created_at_utc < :same_time::timestamptz AND status = 'spam') AS spam_before
FROM lead_inbox WHERE created_at_utc >= :yesterday::timestamptz;

-- name: count_unanswered^
-- Leads that nobody has answered now (row_count) and at an earlier time, and the oldest (index lead_inbox_status).
SELECT total.leads,
       total.leads - (SELECT count(*) FROM lead_inbox WHERE status = 'received' AND created_at_utc >= :before::timestamptz)
           + (SELECT count(*) FROM lead_response WHERE responded_at >= :before::timestamptz AND received_at < :before::timestamptz)
           AS leads_before,
       oldest.id AS oldest_id, oldest.created_at_utc AS oldest_at
FROM (SELECT coalesce(sum(rows), 0)::bigint AS leads FROM row_count
      WHERE table_name = 'lead_inbox' AND state = 'received') AS total
LEFT JOIN (SELECT id, created_at_utc FROM lead_inbox WHERE status = 'received'
           ORDER BY status DESC, created_at_utc, id LIMIT 1) AS oldest ON true;

-- name: response_time^
-- The median of the seconds until the first answer, of the leads that were answered in a time (index lead_response_responded).
SELECT count(*) AS answered,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', responded_at - received_at)) AS seconds
FROM lead_response WHERE responded_at >= :since::timestamptz AND responded_at < :until::timestamptz;

-- name: count_decisions^
-- The leads that were won, and all that were won or lost, in a time (index lead_response_decided).
SELECT count(*) FILTER (WHERE outcome = 'won') AS won, count(*) AS decided
FROM lead_response WHERE decided_at >= :since::timestamptz AND decided_at < :until::timestamptz;

-- name: response_times
-- The same median by assignee, of those who answered most (index lead_response_responded).
SELECT coalesce(assignee, '') AS assignee, count(*) AS answered,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', responded_at - received_at)) AS seconds
FROM lead_response WHERE responded_at >= :since::timestamptz
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most::bigint;
