-- name: server^
-- What the server says of itself, of this connection and of its role.
SELECT current_user AS role, current_setting('server_version_num')::int AS version, clock_timestamp() AS now,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls AS is_mighty, r.rolconnlimit,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS datconnlimit,
       pg_database_size(current_database()) AS bytes
FROM pg_roles r WHERE r.rolname = current_user;

-- name: tables_of_the_role$
-- How many tables the services' role owns, or could own by being a member of the owner.
SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
   AND pg_has_role(current_user, relowner, 'MEMBER');

-- name: rights^
-- What the services' role could do to the audit log and the schema, and whether the log's trigger is on.
SELECT has_schema_privilege('public', 'CREATE') AS creates,
       has_table_privilege('audit_log', 'UPDATE') OR has_table_privilege('audit_log', 'DELETE')
           OR has_table_privilege('audit_log', 'TRUNCATE') AS alters_audit,
       (SELECT tgenabled::text FROM pg_trigger
        WHERE tgrelid = 'audit_log'::regclass AND tgname = 'audit_log_is_append_only') AS trigger;

-- name: applied
-- The migrations that the database has.
SELECT name, sha256 FROM schema_migration;

-- name: has_schema$
-- Was this database ever migrated?
SELECT to_regclass('public.schema_migration') IS NOT NULL AND to_regclass('public.row_count') IS NOT NULL;

-- name: jobs
-- Each job, how its last run went, and by how much its next one is late.
SELECT name, last_outcome, next_run_at, extract(epoch FROM now() - next_run_at)::float8 AS late_seconds
FROM scheduled_job;
