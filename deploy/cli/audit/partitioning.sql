-- The steps of partitioning.py.

-- name: is_partitioned$
-- Whether the audit log is in partitions.
SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.audit_log'::regclass;

-- name: has_check$
-- Whether the check of an earlier, interrupted run still bounds the ids of new entries.
SELECT EXISTS (SELECT FROM pg_constraint
               WHERE conrelid = 'public.audit_log'::regclass AND conname = 'audit_log_first_range');

-- name: last_id$
-- The largest id in the log.
SELECT coalesce(max(id), 0) FROM public.audit_log;

-- name: record_new_ids#
-- Create the trigger that records the event_id of each new entry. It waits for the transactions that write to the log, so
-- every later entry is recorded.
CREATE OR REPLACE TRIGGER audit_log_event_id BEFORE INSERT ON public.audit_log
    FOR EACH ROW EXECUTE FUNCTION public.record_audit_event();

-- name: copy_ids!
-- Record the event ids of a part of the log.
INSERT INTO public.audit_event_id SELECT event_id FROM public.audit_log WHERE id > :after::bigint AND id <= :last::bigint
ON CONFLICT DO NOTHING;

-- name: count_unrecorded$
-- How many entries have an event_id that is not recorded.
SELECT count(*) FROM public.audit_log AS entry
WHERE NOT EXISTS (SELECT FROM public.audit_event_id AS known WHERE known.event_id = entry.event_id);

-- name: validate_check#
-- Blocks no reader and no writer, and lets the table become a partition without another look at its rows.
ALTER TABLE public.audit_log VALIDATE CONSTRAINT audit_log_first_range;

-- name: drop_check#
-- Undo the bound.
ALTER TABLE public.audit_log DROP CONSTRAINT IF EXISTS audit_log_first_range;

-- name: lock_log#
-- Wait for the open transactions that use the log.
LOCK TABLE public.audit_log IN ACCESS EXCLUSIVE MODE;

-- name: set_ranges^
-- Put both values into settings of this transaction. swap_tables reads them there, because it has no parameters.
SELECT set_config('fastcore.first_end', :first_end, true), set_config('fastcore.next_id', :next_id, true);

-- name: swap_tables#
-- The table becomes the first partition of a new audit_log, which gets its rights, indexes and triggers. Nothing is copied.
DO $$
DECLARE
    part      constant text := 'audit_log_from_0';
    first_end constant bigint := current_setting('fastcore.first_end')::bigint;
    next_id   bigint := current_setting('fastcore.next_id')::bigint;
    last_id   bigint;
    grants    text[];
    each_name text;
BEGIN
    EXECUTE 'SELECT last_value FROM ' || pg_get_serial_sequence('public.audit_log', 'id') INTO last_id;
    next_id := greatest(next_id, last_id + 1);
    IF last_id >= first_end THEN
        RAISE EXCEPTION 'the ids have reached the end of the first range';
    END IF;
    SELECT array_agg(format('GRANT %s%s ON public.audit_log TO %s%s', privilege_type, columns,
                            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)) INTO grants
    FROM (SELECT acl.grantee, acl.privilege_type, acl.is_grantable, '' AS columns, c.relowner
          FROM pg_class AS c, aclexplode(c.relacl) AS acl WHERE c.oid = 'public.audit_log'::regclass
          UNION ALL
          SELECT acl.grantee, acl.privilege_type, acl.is_grantable, format(' (%I)', attname), c.relowner
          FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid, aclexplode(a.attacl) AS acl
          WHERE a.attrelid = 'public.audit_log'::regclass AND NOT a.attisdropped) AS granted
    WHERE grantee <> relowner;

    EXECUTE format('ALTER TABLE public.audit_log RENAME TO %I', part);
    FOR each_name IN SELECT relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
                     WHERE i.indrelid = ('public.' || part)::regclass AND relname LIKE 'audit\_log\_%' LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', each_name, replace(each_name, 'audit_log', part));
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN id DROP IDENTITY', part);
    EXECUTE format('DROP TRIGGER audit_log_event_id ON public.%I', part);
    -- audit_event_id keeps the ids unique. Each entry would touch a random page of this index.
    EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT audit_event_happens_once', part);

    EXECUTE format('CREATE TABLE public.audit_log (LIKE public.%I INCLUDING DEFAULTS) PARTITION BY RANGE (id)', part);
    EXECUTE format('ALTER TABLE public.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START WITH %s)', next_id);
    ALTER TABLE public.audit_log ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);
    CREATE INDEX audit_log_event ON public.audit_log (event, created_at_utc DESC);
    CREATE INDEX audit_log_lead ON public.audit_log (lead_id, created_at_utc);
    CREATE INDEX audit_log_request ON public.audit_log (request_id);
    CREATE INDEX audit_log_created ON public.audit_log (created_at_utc DESC, id DESC);
    CREATE INDEX audit_log_actor ON public.audit_log (actor, event, created_at_utc DESC, id DESC);
    CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change();
    ALTER TABLE public.audit_log ENABLE ALWAYS TRIGGER audit_log_is_append_only;
    CREATE TRIGGER audit_log_event_id BEFORE INSERT ON public.audit_log
        FOR EACH ROW EXECUTE FUNCTION public.record_audit_event();
    EXECUTE format('ALTER TABLE public.audit_log ATTACH PARTITION public.%I FOR VALUES FROM (MINVALUE) TO (%s)', part,
                   first_end);
    EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT audit_log_first_range', part);
    FOREACH each_name IN ARRAY coalesce(grants, '{}') LOOP
        EXECUTE each_name;
        -- The services need rights on audit_log only.
        EXECUTE replace(replace(replace(replace(each_name, 'GRANT ', 'REVOKE '), ' TO ', ' FROM '),
                                ' WITH GRANT OPTION', ''), 'public.audit_log ', format('public.%I ', part));
    END LOOP;
    PERFORM public.create_audit_partitions();
END $$;
