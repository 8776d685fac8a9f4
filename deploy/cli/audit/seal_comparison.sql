-- The queries of seal_comparison.py.

-- name: bounds^
-- The ids of what the partition has: after what was archived before, and below the next table's first id.
SELECT coalesce((SELECT max(last_id) FROM audit_archive), -9223372036854775808) AS after,
       coalesce(min(first_id), 9223372036854775807) AS before
FROM (SELECT substring(relname FROM '[0-9]+$')::bigint AS first_id FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname ~ '^audit_log_from_[0-9]+$') AS part
WHERE first_id > substring(:name::text FROM '[0-9]+$')::bigint;
