-- name: server^
-- The server, this connection and its role.
SELECT current_user AS role, current_setting('server_version_num')::int AS version, clock_timestamp() AS now,
       r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS is_privileged, r.rolconnlimit,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS datconnlimit,
       pg_database_size(current_database()) AS bytes, current_setting('server_encoding') AS encoding
FROM pg_roles r WHERE r.rolname = current_user;

-- name: objects_of_the_role$
-- How many objects of this database the services' role owns, or could own as a member of their owner's role.
SELECT count(*) FROM pg_shdepend
WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass
  AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pg_has_role(current_user, refobjid, 'MEMBER');

-- name: roles_of_the_role
-- The other roles whose rights the services' role has or could take.
SELECT rolname FROM pg_roles
WHERE rolname <> current_user AND pg_has_role(current_user, oid, 'MEMBER') ORDER BY 1;

-- name: rights^
-- What the services' role could do to the audit log and the schema.
SELECT has_schema_privilege('public', 'CREATE') AS creates,
       has_database_privilege(current_database(), 'TEMPORARY') AS creates_temporary,
       has_database_privilege(current_database(), 'CREATE') AS creates_schemas,
       has_table_privilege('audit_log', 'UPDATE') OR has_table_privilege('audit_log', 'DELETE')
           OR has_table_privilege('audit_log', 'TRUNCATE') OR has_any_column_privilege('audit_log', 'UPDATE')
           OR has_column_privilege('audit_log', 'id', 'INSERT') AS alters_audit;

-- name: grants
-- Every right on a table, view or sequence that is granted to the services' role or to everybody.
SELECT c.relname AS name, acl.privilege_type AS privilege
FROM pg_class c, aclexplode(c.relacl) AS acl
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND (acl.grantee = 0 OR pg_has_role(current_user, acl.grantee, 'MEMBER'))
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
UNION SELECT c.relname, acl.privilege_type || ' of columns'
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) AS acl
WHERE c.relnamespace = 'public'::regnamespace
  AND (acl.grantee = 0 OR pg_has_role(current_user, acl.grantee, 'MEMBER'))
ORDER BY 1, 2;

-- name: functions
-- Each function of this database, except those of extensions, that runs as its owner or that everybody may execute.
SELECT p.oid::regprocedure::text AS name, p.prosecdef AS is_definer, r.rolsuper AS is_superusers,
       has_function_privilege('public', p.oid, 'EXECUTE') AS is_public,
       has_function_privilege(p.oid, 'EXECUTE') AS is_allowed,
       coalesce((SELECT setting FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%'), '')
           AS search_path
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
  AND (p.prosecdef OR has_function_privilege('public', p.oid, 'EXECUTE'))
ORDER BY 1;

-- name: triggers
-- FASTCore's triggers: their table, function, statements (the bits of pg_trigger.tgtype) and whether they fire.
SELECT c.relname || '.' || t.tgname AS name, t.tgfoid::regproc::text AS function, t.tgtype::int AS type,
       t.tgenabled::text AS enabled
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace;

-- name: audit_partitions^
-- The audit log's partitions: how many there are, how many of them follow the one of the newest entry, and whether a
-- partitioning was interrupted. Ids only grow, so the partitions that follow have no entries yet.
SELECT (SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.audit_log'::regclass) AS is_partitioned,
       count(*) AS partitions, array_agg(name) AS names,
       count(*) FILTER (WHERE first_id > (SELECT coalesce(max(id), 0) FROM audit_log)) AS ahead,
       EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'public.audit_log'::regclass
                                           AND conname = 'audit_log_first_range') AS is_interrupted
FROM audit_partitions();

-- name: applied
-- The applied migrations.
SELECT name, sha256 FROM schema_migration;

-- name: has_schema$
-- Whether this database was ever migrated.
SELECT to_regclass('public.schema_migration') IS NOT NULL AND to_regclass('public.row_count') IS NOT NULL;

-- name: jobs
-- Each job, the outcome of its last run, and by how much its next run is late.
SELECT name, last_outcome, next_run_at, extract(epoch FROM now() - next_run_at)::float8 AS late_seconds
FROM scheduled_job;

-- name: outbox^
-- How many changes of leads wait to be published, and for how long the oldest.
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
FROM lead_event_outbox;

-- name: destinations
-- Each destination's state, and its dead deliveries, at most 10,000.
SELECT w.name, w.disabled_at IS NOT NULL AS is_disabled, w.disabled_reason, w.paused_until IS NOT NULL AS is_paused,
       w.last_reason, extract(epoch FROM now() - coalesce(w.disabled_at, w.paused_since))::float8 AS since_seconds,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = w.name
                              AND d.state IN ('pending', 'failed') LIMIT 10000) AS bounded) AS waiting,
       (SELECT count(*) FROM (SELECT FROM webhook_delivery d WHERE d.destination = w.name AND d.state = 'dead'
                              LIMIT 10000) AS bounded) AS dead
FROM webhook_destination w ORDER BY w.name;
