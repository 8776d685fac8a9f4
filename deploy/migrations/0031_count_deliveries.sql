-- Count deliveries to destinations and the rows of the outbox as migration 0004 counts leads, emails and failures: the
-- ledger compares the numbers in one snapshot, and to count the rows of a large table would take seconds.
--
-- webhook_delivery by what became of it. A claim and a failed attempt leave a delivery waiting, and write no count.
-- webhook_event: 'wanted', for how many destinations all events together are (the sum of delivery_count).
-- lead_event_outbox: 'written' +1 for each insert, 'published' -1 for each delete, because the relay deletes what Kafka
-- has acknowledged. A trigger counts it, so that the flusher of an older version counts too.
CREATE FUNCTION count_deliveries() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written int := 0;
BEGIN
    IF TG_TABLE_SCHEMA <> 'public' THEN
        RAISE EXCEPTION 'rows of % are not counted', TG_RELID::regclass USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- One static statement for each case: it keeps its plan, and a table that the case does not have is never looked up.
    CASE TG_TABLE_NAME || ' ' || TG_OP
    WHEN 'webhook_delivery INSERT' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_delivery', NULL, public.delivery_count_state(state), NULL, count(*) FROM came GROUP BY 3;
    WHEN 'webhook_delivery UPDATE' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_delivery', NULL, public.delivery_count_state(state), NULL, sum(change)
        FROM (SELECT state, 1 AS change FROM came UNION ALL SELECT state, -1 FROM went) AS moved
        GROUP BY 3 HAVING sum(change) <> 0;
    WHEN 'webhook_delivery DELETE' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_delivery', NULL, public.delivery_count_state(state), NULL, -count(*) FROM went GROUP BY 3;
    WHEN 'webhook_event INSERT' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_event', NULL, 'wanted', NULL, sum(delivery_count) FROM came HAVING sum(delivery_count) <> 0;
    WHEN 'webhook_event UPDATE' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_event', NULL, 'wanted', NULL, sum(change)
        FROM (SELECT delivery_count AS change FROM came UNION ALL SELECT -delivery_count FROM went) AS moved
        HAVING sum(change) <> 0;
    WHEN 'webhook_event DELETE' THEN
        INSERT INTO public.row_count
        SELECT 'webhook_event', NULL, 'wanted', NULL, -sum(delivery_count) FROM went HAVING sum(delivery_count) <> 0;
    WHEN 'lead_event_outbox INSERT' THEN
        INSERT INTO public.row_count
        SELECT 'lead_event_outbox', NULL, 'written', NULL, count(*) FROM came HAVING count(*) <> 0;
    WHEN 'lead_event_outbox DELETE' THEN
        INSERT INTO public.row_count
        SELECT 'lead_event_outbox', NULL, 'published', NULL, -count(*) FROM went HAVING count(*) <> 0;
    ELSE
        RAISE EXCEPTION 'rows of % are not counted', TG_RELID::regclass USING ERRCODE = 'insufficient_privilege';
    END CASE;
    GET DIAGNOSTICS written = ROW_COUNT;
    -- As in count_rows: every hundredth change adds up what stands in the table.
    IF written > 0 AND nextval('public.row_count_turn') % 100 = 0
       AND pg_try_advisory_xact_lock(x'726F7773'::int, 0) THEN
        WITH folded AS (DELETE FROM public.row_count RETURNING *)
        INSERT INTO public.row_count SELECT table_name, stage, state, made_by, sum(rows) FROM folded
        GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION delivery_count_state(state text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN state IN ('pending', 'failed', 'sending') THEN 'waiting' ELSE state END;
REVOKE ALL ON FUNCTION count_deliveries(), delivery_count_state(text) FROM PUBLIC;

CREATE TRIGGER webhook_delivery_came AFTER INSERT ON webhook_delivery
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER webhook_delivery_changed AFTER UPDATE ON webhook_delivery
    REFERENCING NEW TABLE AS came OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER webhook_delivery_went AFTER DELETE ON webhook_delivery
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER webhook_event_came AFTER INSERT ON webhook_event
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER webhook_event_changed AFTER UPDATE ON webhook_event
    REFERENCING NEW TABLE AS came OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER webhook_event_went AFTER DELETE ON webhook_event
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER lead_event_outbox_came AFTER INSERT ON lead_event_outbox
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER lead_event_outbox_went AFTER DELETE ON lead_event_outbox
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();

-- As before, with these tables. What was published before is counted neither as written nor as published.
CREATE OR REPLACE FUNCTION recount_rows() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE public.lead_inbox, public.email_delivery, public.replay_queue, public.webhook_event,
               public.webhook_delivery, public.lead_event_outbox, public.row_count IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM public.row_count;
    INSERT INTO public.row_count
    SELECT 'lead_inbox', NULL, status, CASE WHEN stored THEN 'persister' ELSE 'admin' END, count(*)
    FROM public.lead_inbox GROUP BY status, stored
    UNION ALL SELECT 'email_delivery', NULL, state, NULL, count(*) FROM public.email_delivery GROUP BY state
    UNION ALL SELECT 'replay_queue', stage, state, made_by, count(*) FROM public.replay_queue
              GROUP BY stage, state, made_by
    UNION ALL SELECT 'webhook_delivery', NULL, public.delivery_count_state(state), NULL, count(*)
              FROM public.webhook_delivery GROUP BY 3
    UNION ALL SELECT 'webhook_event', NULL, 'wanted', NULL, sum(delivery_count) FROM public.webhook_event
              HAVING sum(delivery_count) <> 0
    UNION ALL SELECT 'lead_event_outbox', NULL, 'written', NULL, count(*) FROM public.lead_event_outbox
              HAVING count(*) <> 0;
END $$;
-- The tables are locked until this transaction ends (deploy/cli/migrate.py).
SELECT recount_rows();
