-- What the audit log needs to be kept in partitions by id (docs/decisions/0065). This file changes nothing about audit_log
-- itself: services of before it cannot insert into a partitioned log, so the owner partitions it after they are replaced, with
-- `python -m deploy.cli.audit partition`. A new database is partitioned at once.

-- The event_id of every entry, also of archived ones. A unique index of a partitioned table has to contain the partition key.
CREATE TABLE audit_event_id (event_id uuid PRIMARY KEY);

-- A trigger of the log calls this for each new entry. An entry whose event_id is known is left out, and not returned.
CREATE FUNCTION public.record_audit_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_event_id VALUES (NEW.event_id) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END $$;

-- The partitions, oldest first, with their ids: from first_id, below end_id. The first one begins at the lowest bigint. No rows
-- as long as the log is one table.
CREATE FUNCTION public.audit_partitions() RETURNS TABLE (name text, first_id bigint, end_id bigint) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT relname::text,
           coalesce(substring(bounds FROM $re$FROM \('?(-?\d+)'?\)$re$)::bigint, -9223372036854775808),
           substring(bounds FROM $re$TO \('?(-?\d+)'?\)$re$)::bigint
    FROM (SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits AS i
          JOIN pg_class AS c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'public.audit_log'::regclass AND NOT i.inhdetachpending AND c.relispartition) AS part
    ORDER BY 2
$$;

-- Create partitions of 10 million entries until two empty ones follow the one that takes the next entry. Returns the names of
-- the new ones. It runs as the owner, for a job of the flusher: it takes no argument, and can do nothing else.
CREATE FUNCTION public.create_audit_partitions() RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    last_given bigint;
    next_first bigint;
    partition  text;
    created    text[] := '{}';
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'public.audit_log'::regclass) <> 'p' THEN
        RETURN created;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('fastcore.audit_partitions', 0));
    EXECUTE 'SELECT last_value FROM ' || pg_get_serial_sequence('public.audit_log', 'id') INTO last_given;
    LOOP
        IF (SELECT count(*) FROM public.audit_partitions() WHERE first_id > last_given) >= 2 THEN
            RETURN created;
        END IF;
        SELECT max(end_id) INTO next_first FROM public.audit_partitions();
        partition := 'audit_log_from_' || next_first;
        -- ATTACH, because CREATE ... PARTITION OF would lock out every reader and writer of the log.
        EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_log INCLUDING DEFAULTS)', partition);
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC', partition);
        -- The trigger of audit_log sees no statement that names a partition.
        EXECUTE format('CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change()', partition);
        EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_log_is_append_only', partition);
        EXECUTE format('ALTER TABLE public.audit_log ATTACH PARTITION public.%I FOR VALUES FROM (%s) TO (%s)', partition,
                       next_first, next_first + 10000000);
        created := created || partition;
    END LOOP;
END $$;

-- What was archived: a partition's name and ids, its number of entries, the times of its first and last entry, and the SHA-256 of
-- the exported lines.
CREATE TABLE audit_archive (
    name        text PRIMARY KEY,
    first_id    bigint NOT NULL,
    last_id     bigint NOT NULL,
    entries     bigint NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    sha256      text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now()
);
