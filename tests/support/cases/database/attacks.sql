-- What somebody with the services' password may try: one statement a line, each of which must be refused.

-- The log itself.
UPDATE audit_log SET actor = 'x'
DELETE FROM audit_log
TRUNCATE audit_log
TRUNCATE audit_log CASCADE
SELECT * FROM audit_log FOR UPDATE
SELECT 1; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE
INSERT INTO audit_log (event_id, event, actor) SELECT event_id, 'lead.received', 'gateway' FROM audit_log ON CONFLICT (id) DO UPDATE SET actor = 'x'
INSERT INTO audit_log (id, event_id, event, actor) OVERRIDING SYSTEM VALUE VALUES (1000, gen_random_uuid(), 'lead.received', 'gateway')
MERGE INTO audit_log USING (SELECT 1) AS x ON true WHEN MATCHED THEN DELETE
COPY audit_log FROM PROGRAM 'true'
ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only
ALTER TABLE audit_log DISABLE TRIGGER ALL
ALTER TABLE audit_log ENABLE REPLICA TRIGGER audit_log_is_append_only
ALTER TABLE audit_log RENAME TO old_log
ALTER TABLE audit_log OWNER TO CURRENT_USER
DROP TRIGGER audit_log_is_append_only ON audit_log
DROP TABLE audit_log
CREATE RULE r AS ON INSERT TO audit_log DO INSTEAD NOTHING
CREATE POLICY p ON audit_log USING (false)
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY
CREATE INDEX ON audit_log (actor)
SELECT setval('audit_log_id_seq', 1)
SELECT nextval('audit_log_id_seq')
ALTER SEQUENCE audit_log_id_seq RESTART
DROP FUNCTION refuse_audit_change() CASCADE
CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
ALTER FUNCTION refuse_audit_change() RESET search_path

-- Somebody else.
SET ROLE fastcore_owner
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
SET session_replication_role = replica
GRANT fastcore_owner TO CURRENT_USER
GRANT pg_execute_server_program TO CURRENT_USER
ALTER ROLE CURRENT_USER SUPERUSER
ALTER ROLE CURRENT_USER CREATEROLE
ALTER ROLE CURRENT_USER BYPASSRLS
ALTER ROLE CURRENT_USER REPLICATION
ALTER ROLE fastcore_owner PASSWORD 'x'
CREATE ROLE r
REASSIGN OWNED BY fastcore_owner TO CURRENT_USER

-- The server's files and programs.
COPY lead_inbox TO PROGRAM 'cat'
COPY lead_inbox TO '/tmp/x'
COPY lead_inbox (id) FROM '/etc/passwd'
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('PG_VERSION')
SELECT pg_ls_dir('.')
SELECT pg_stat_file('PG_VERSION')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
LOAD 'plpgsql.so/../x'
ALTER SYSTEM SET log_statement = 'all'
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
CREATE EXTENSION dblink
CREATE EXTENSION hstore
CREATE EXTENSION file_fdw
CREATE LANGUAGE plpython3u
CREATE FUNCTION public.f() RETURNS int LANGUAGE c AS 'x', 'y'
CREATE TABLESPACE t LOCATION '/tmp'

-- Something of its own that the owner's functions could meet.
CREATE TABLE public.t (a int)
CREATE TEMP TABLE row_count (a int)
CREATE TEMP VIEW row_count AS SELECT 1
CREATE TEMP SEQUENCE row_count_turn
CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE TYPE public.t AS (a int)
CREATE DOMAIN public.d AS int
CREATE OPERATOR public.+ (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)
CREATE CAST (lead_inbox AS text) WITH INOUT
CREATE AGGREGATE public.sum (int) (SFUNC = int4pl, STYPE = int)
CREATE SCHEMA mine
CREATE SCHEMA AUTHORIZATION CURRENT_USER
CREATE MATERIALIZED VIEW public.m AS SELECT 1
CREATE FOREIGN TABLE public.f (a int) SERVER s
CREATE TRIGGER t AFTER INSERT ON lead_inbox FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
CREATE TRIGGER t AFTER INSERT ON lead_inbox EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION refuse_audit_change()
ALTER FUNCTION count_rows() SET search_path = pg_temp
ALTER FUNCTION count_rows() SECURITY INVOKER
GRANT EXECUTE ON FUNCTION count_rows() TO PUBLIC; SELECT 1 / (count(*) = 0)::int FROM pg_proc WHERE proname = 'count_rows'
SELECT recount_rows()
SELECT count_rows()

-- Counts, migrations, rows that the ledger counts.
INSERT INTO row_count VALUES ('lead_inbox', NULL, 'received', 'persister', -1)
UPDATE row_count SET rows = 0
DELETE FROM row_count
TRUNCATE row_count
SELECT setval('row_count_turn', 1)
SELECT nextval('row_count_turn')
INSERT INTO schema_migration VALUES ('x', 'y')
UPDATE schema_migration SET sha256 = 'x'
DELETE FROM schema_migration
DELETE FROM lead_inbox
DELETE FROM email_delivery
DELETE FROM replay_queue
DELETE FROM partition_ledger
TRUNCATE lead_inbox
ALTER TABLE lead_inbox DISABLE TRIGGER USER
ALTER TABLE lead_inbox ADD COLUMN c int
UPDATE queue_replay SET per_second = 1; DELETE FROM queue_replay
UPDATE pg_proc SET prosecdef = false
DELETE FROM pg_trigger

-- Other sessions, the database, replication.
SELECT 1 / pg_terminate_backend(pid)::int FROM pg_stat_activity WHERE usename = 'fastcore_owner'
SELECT 1 / pg_cancel_backend(pid)::int FROM pg_stat_activity WHERE usename = 'fastcore_owner'
ALTER DATABASE template1 SET search_path = pg_temp
CREATE DATABASE d
CREATE PUBLICATION p
CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p
SELECT pg_create_physical_replication_slot('s')
SELECT pg_create_logical_replication_slot('s', 'test_decoding')
SELECT pg_switch_wal()
SELECT pg_promote()
SELECT pg_stat_reset()
SELECT * FROM pg_authid
SELECT * FROM pg_statistic
COMMENT ON TABLE audit_log IS 'x'
