-- The query of audit_partitions.py.

-- name: count_missing$
-- How many of the two partitions after that of the newest entry do not exist. Ids only grow, so those after it are empty.
SELECT CASE WHEN (SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.audit_log'::regclass) THEN greatest(0, 2 - count(*))
            ELSE 0 END
FROM audit_partitions() WHERE first_id > (SELECT coalesce(max(id), 0) FROM audit_log);
