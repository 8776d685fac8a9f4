-- The services' role cannot act as the owner, audit records fail as themselves, and erasing removes one person's
-- data and no other's. Who may execute what is granted by deploy/migrate.py after every run.

-- 1. The services' role ------------------------------------------------------------------------------------------------

-- Count the rows of three tables. A trigger's arguments are chosen by whoever creates it, and a table is found by
-- search_path, where a temporary one comes first: so the columns are constants here, every name has its schema, and
-- pg_temp is searched last. The transition tables `came` and `went` come before any table of the search_path.
CREATE OR REPLACE FUNCTION public.count_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changes text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT 1 AS change, * FROM came'
                               WHEN 'DELETE' THEN 'SELECT -1 AS change, * FROM went'
                               ELSE 'SELECT 1 AS change, * FROM came UNION ALL SELECT -1, * FROM went' END;
    columns text;  -- stage, state and made_by of row_count
    written int;
BEGIN
    IF TG_OP = 'UPDATE' THEN  -- nested: a DELETE has no table `came`
        IF NOT EXISTS (SELECT FROM came) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_SCHEMA = 'public' AND TG_TABLE_NAME = 'email_delivery' THEN
        -- Most changes are these, and a static statement keeps its plan (0.2 ms).
        INSERT INTO public.row_count
        SELECT 'email_delivery', NULL, state, NULL, sum(change)
        FROM (SELECT state, 1 AS change FROM came UNION ALL SELECT state, -1 FROM went) AS moved
        GROUP BY state HAVING sum(change) <> 0;
    ELSE
        columns := CASE TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME
            WHEN 'public.lead_inbox' THEN 'NULL, status, CASE WHEN stored THEN ''persister'' ELSE ''admin'' END'
            WHEN 'public.email_delivery' THEN 'NULL, state, NULL'
            WHEN 'public.replay_queue' THEN 'stage, state, made_by' END;
        IF columns IS NULL THEN
            RAISE EXCEPTION 'rows of % are not counted', TG_RELID::regclass USING ERRCODE = 'insufficient_privilege';
        END IF;
        EXECUTE format('INSERT INTO public.row_count SELECT %L, %s, sum(change) FROM (%s) AS moved'
                       ' GROUP BY 2, 3, 4 HAVING sum(change) <> 0', TG_TABLE_NAME, columns, changes);
    END IF;
    GET DIAGNOSTICS written = ROW_COUNT;  -- EXECUTE does not set FOUND
    -- Two folding at once would wait for each other's rows; 0x726F7773 is "rows".
    IF written > 0 AND nextval('public.row_count_turn') % 100 = 0
       AND pg_try_advisory_xact_lock(x'726F7773'::int, 0) THEN
        WITH folded AS (DELETE FROM public.row_count RETURNING *)
        INSERT INTO public.row_count SELECT table_name, stage, state, made_by, sum(rows) FROM folded
        GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;
    END IF;
    RETURN NULL;
END $$;

ALTER FUNCTION public.refuse_audit_change() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION public.recount_rows() SET search_path = pg_catalog, public, pg_temp;

-- 2. Audit records that fail ---------------------------------------------------------------------------------------------

-- `audit`: an audit record that could not be stored. It is named by its origin and belongs to no lead.
ALTER TABLE replay_queue DROP CONSTRAINT queue_kind_is_known;
ALTER TABLE replay_queue ADD CONSTRAINT queue_kind_is_known
    CHECK (kind IN ('store', 'audit', 'welcome', 'admin_alert', 'pull'));
-- Until now these were treated as leads: under the client's X-Request-ID, and retried where nothing decodes them.
UPDATE replay_queue SET kind = 'audit', by_origin = true, lead_id = NULL, replay_lead_id = NULL, updated_at = now()
WHERE stage = 'persister' AND kind = 'store' AND origin_topic ~ 'audit[.]recorded[.]v1$';  -- after any prefix

-- 3. One person's data ---------------------------------------------------------------------------------------------------

-- A resolved row keeps no record, also not the one before an edit.
UPDATE replay_queue SET original_payload = NULL, updated_at = now()
WHERE state = 'resolved' AND original_payload IS NOT NULL;

-- The addresses, in lower case, of the person whose record this is: those in its field `email`, however they are
-- written ("Ada <ada@example.com>"). A record without such a field, or that is no JSON: every address in it.
CREATE FUNCTION public.record_addresses(record bytea) RETURNS text[] LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    words text;
    email text;
BEGIN
    IF record IS NULL THEN
        RETURN '{}';
    END IF;
    BEGIN
        words := convert_from(record, 'UTF8');
        email := words::jsonb ->> 'email';
        words := words::jsonb::text;  -- without escapes such as \u00fc
    EXCEPTION WHEN OTHERS THEN  -- not UTF-8, or no JSON
        words := coalesce(words, encode(record, 'escape'));
    END;
    IF strpos(email, '@') > 0 THEN
        words := email;
    END IF;
    RETURN ARRAY(SELECT DISTINCT btrim(address[1], '.''`')
                 FROM regexp_matches(lower(words), '[^][\s<>()",;:\\]+@[^][\s<>()",;:\\]+', 'g') AS address);
END $$;

-- Remove the person from everything that we hold of a lead; keep its row, its place in the ledger and its audit trail.
-- Returns null where no such lead is known, else what was emptied. A lead that was never stored becomes a tombstone,
-- so that a redelivery finds it and is a duplicate.
--
-- A row named by its origin stands under the id of the lead that it collided with, and may hold another person's
-- record. It is emptied where its address is one of this lead's, or where it has none.
--
-- One erasure at a time, and none beside a transaction that may write a lead's data again (the notifier's reservation
-- and the flusher's intake hold this lock together): what they read as not erased stays so until they commit, and is
-- then erased with the rest. The persister needs no lock: its insert and ours meet at the primary key. Rows are locked
-- in the order of all other writers: lead, deliveries, queue.
CREATE OR REPLACE FUNCTION public.erase_lead(wanted uuid, eraser text) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lead        public.lead_inbox%ROWTYPE;
    first_seen  timestamptz;
    theirs      text[];
    mail_count  bigint;
    queue_count bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('fastcore.erase', 0));
    SELECT * INTO lead FROM public.lead_inbox WHERE id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        SELECT min(seen) INTO first_seen FROM (
            SELECT origin_timestamp FROM public.replay_queue WHERE lead_id = wanted
            UNION ALL SELECT created_at FROM public.email_delivery WHERE lead_id = wanted) AS traces (seen);
        IF first_seen IS NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO public.lead_inbox
            (id, request_id, site, email, service, name, message, body_sha256, stored, created_at_utc)
        VALUES (wanted, '', '', '', '', '', '', '', false, first_seen)
        ON CONFLICT (id) DO NOTHING;  -- waits for a persister that stores it at this moment
        SELECT * INTO lead FROM public.lead_inbox WHERE id = wanted FOR UPDATE;
    END IF;
    SELECT coalesce(array_agg(lower(address)), '{}') INTO theirs FROM (
        SELECT lead.email UNION SELECT lead.original ->> 'email'
        UNION SELECT recipient FROM public.email_delivery WHERE lead_id = wanted AND kind = 'welcome'
        UNION SELECT unnest(public.record_addresses(payload) || public.record_addresses(original_payload))
        FROM public.replay_queue WHERE lead_id = wanted AND NOT by_origin) AS known (address)
    WHERE address <> '';

    UPDATE public.email_delivery
    SET recipient = NULL, smtp_answer = NULL, updated_at = now(),
        state = CASE WHEN state = 'waiting' THEN 'suppressed' ELSE state END,
        reason = CASE WHEN state = 'waiting' THEN 'erased' ELSE reason END
    WHERE lead_id = wanted AND (recipient IS NOT NULL OR smtp_answer IS NOT NULL OR state = 'waiting');
    GET DIAGNOSTICS mail_count = ROW_COUNT;

    UPDATE public.replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(),
        state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE lead_id = wanted
      AND (payload IS NOT NULL OR original_payload IS NOT NULL OR record_key IS NOT NULL OR headers <> '{}'
           OR state NOT IN ('resolved', 'archived'))
      AND (NOT by_origin OR (theirs = '{}' AND lead.status <> 'erased')
           OR public.record_addresses(coalesce(original_payload, payload)) && theirs
           OR public.record_addresses(coalesce(original_payload, payload)) = '{}');
    GET DIAGNOSTICS queue_count = ROW_COUNT;

    IF lead.status <> 'erased' THEN
        UPDATE public.lead_inbox
        SET status = 'erased', email = '', name = '', phone = NULL, company = NULL, message = '',
            consent_text = NULL, locale = NULL, submitted_at = NULL, source = NULL, extra = '{}', body_sha256 = '',
            assignee = NULL, notes = NULL, original = NULL, updated_at = now()
        WHERE id = wanted;
        INSERT INTO public.audit_log (event_id, event, actor, details_json, lead_id, request_id)
        VALUES (gen_random_uuid(), 'lead.erased', eraser,
                jsonb_build_object('stored', lead.stored, 'emails', mail_count, 'queue_rows', queue_count),
                wanted, nullif(lead.request_id, ''));
        lead.updated_at := now();
        PERFORM public.request_statistics();
    END IF;
    RETURN jsonb_build_object('already', lead.status = 'erased', 'erased_at', lead.updated_at, 'stored', lead.stored,
                              'emails', mail_count, 'queue_rows', queue_count);
END $$;

-- Remove the person from one row of the queue that holds a record under another lead's id, or under none. Returns
-- false where there is nothing to remove. A conflict that is on its way to be stored as a lead leaves a tombstone.
CREATE FUNCTION public.erase_record(wanted uuid, eraser text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held public.replay_queue%ROWTYPE;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('fastcore.erase', 0));
    SELECT * INTO held FROM public.replay_queue WHERE id = wanted FOR UPDATE;
    IF NOT FOUND OR (held.payload IS NULL AND held.original_payload IS NULL) THEN
        RETURN false;
    END IF;
    IF held.state = 'replaying' AND held.replay_lead_id IS NOT NULL THEN
        INSERT INTO public.lead_inbox
            (id, request_id, site, email, service, status, name, message, body_sha256, stored, created_at_utc)
        VALUES (held.replay_lead_id, '', '', '', '', 'erased', '', '', '', false, held.origin_timestamp)
        ON CONFLICT (id) DO NOTHING;
    END IF;
    UPDATE public.replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(),
        state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE id = wanted;
    INSERT INTO public.audit_log (event_id, event, actor, details_json)
    VALUES (gen_random_uuid(), 'lead.erased', eraser,
            jsonb_build_object('queue_id', held.id, 'stage', held.stage, 'kind', held.kind));
    PERFORM public.request_statistics();
    RETURN true;
END $$;

-- The planner's statistics hold values of columns, and keep them until the next ANALYZE: after an erasure one is run.
-- Statistics of fewer columns would not do: searches are planned by them (migration 0006). The flusher runs it as a
-- job, so that many erasures share one.
CREATE FUNCTION public.request_statistics() RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.scheduled_job AS job (name, schedule, requested_at) VALUES ('statistics', '', now())
    ON CONFLICT (name) DO UPDATE SET requested_at = excluded.requested_at;
$$;

-- ANALYZE needs the owner's rights.
CREATE FUNCTION public.refresh_statistics() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    ANALYZE public.lead_inbox, public.email_delivery, public.replay_queue;
END $$;
