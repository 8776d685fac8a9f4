-- What the admin service reads at a million leads: exact counts without counting, and indexes for its lists.

-- The rows of the three counted tables: the sum over a key's rows here is the number of its rows there, in
-- every snapshot, for each statement writes its changes in its own transaction. Only inserts, so that no
-- writer waits for another; every hundredth folds what stands here into one row a key.
CREATE TABLE row_count (
    table_name text NOT NULL,
    stage      text,            -- of replay_queue
    state      text NOT NULL,   -- a lead's status, else the row's state
    made_by    text,            -- of replay_queue; of lead_inbox 'admin' for a tombstone that no record brought
    rows       bigint NOT NULL  -- a change, or a sum of changes
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, vacuum_truncate = off);
CREATE SEQUENCE row_count_turn;

-- Arguments: the table's columns that are stage, state and made_by. The services' role may not write
-- row_count itself: the owner's rights do it here.
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changes text := CASE TG_OP WHEN 'INSERT' THEN 'SELECT 1 AS change, * FROM came'
                               WHEN 'DELETE' THEN 'SELECT -1 AS change, * FROM went'
                               ELSE 'SELECT 1 AS change, * FROM came UNION ALL SELECT -1, * FROM went' END;
    written int;
BEGIN
    EXECUTE format('INSERT INTO row_count SELECT %L, %s, %s, %s, sum(change) FROM (%s) AS moved'
                   ' GROUP BY 2, 3, 4 HAVING sum(change) <> 0',
                   TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[1], TG_ARGV[2], changes);
    GET DIAGNOSTICS written = ROW_COUNT;  -- EXECUTE leaves FOUND as it was
    -- Two folding at once would wait for each other's rows; 0x726F7773 is "rows".
    IF written > 0 AND nextval('row_count_turn') % 100 = 0 AND pg_try_advisory_xact_lock(x'726F7773'::int, 0) THEN
        WITH folded AS (DELETE FROM row_count RETURNING *)
        INSERT INTO row_count SELECT table_name, stage, state, made_by, sum(rows) FROM folded
        GROUP BY table_name, stage, state, made_by HAVING sum(rows) <> 0;
    END IF;
    RETURN NULL;
END $$;

-- Count anew, where rows were brought in past the triggers (a restore of data only). `make ledger` says so.
CREATE FUNCTION recount_rows() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    LOCK TABLE lead_inbox, email_delivery, replay_queue, row_count IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM row_count;
    INSERT INTO row_count
    SELECT 'lead_inbox', NULL, status, CASE WHEN stored THEN 'persister' ELSE 'admin' END, count(*)
    FROM lead_inbox GROUP BY status, stored
    UNION ALL SELECT 'email_delivery', NULL, state, NULL, count(*) FROM email_delivery GROUP BY state
    UNION ALL SELECT 'replay_queue', stage, state, made_by, count(*) FROM replay_queue GROUP BY stage, state, made_by;
END $$;
REVOKE ALL ON FUNCTION recount_rows() FROM PUBLIC;

CREATE TRIGGER lead_inbox_came AFTER INSERT ON lead_inbox
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'status',
        'CASE WHEN stored THEN ''persister'' ELSE ''admin'' END');
CREATE TRIGGER lead_inbox_changed AFTER UPDATE ON lead_inbox
    REFERENCING NEW TABLE AS came OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'status',
        'CASE WHEN stored THEN ''persister'' ELSE ''admin'' END');
CREATE TRIGGER lead_inbox_went AFTER DELETE ON lead_inbox
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'status',
        'CASE WHEN stored THEN ''persister'' ELSE ''admin'' END');
CREATE TRIGGER email_delivery_came AFTER INSERT ON email_delivery
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'state', 'NULL');
CREATE TRIGGER email_delivery_changed AFTER UPDATE ON email_delivery
    REFERENCING NEW TABLE AS came OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'state', 'NULL');
CREATE TRIGGER email_delivery_went AFTER DELETE ON email_delivery
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_rows('NULL', 'state', 'NULL');
CREATE TRIGGER replay_queue_came AFTER INSERT ON replay_queue
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION count_rows('stage', 'state', 'made_by');
CREATE TRIGGER replay_queue_changed AFTER UPDATE ON replay_queue
    REFERENCING NEW TABLE AS came OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows('stage', 'state', 'made_by');
CREATE TRIGGER replay_queue_went AFTER DELETE ON replay_queue
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION count_rows('stage', 'state', 'made_by');
SELECT recount_rows();

-- Lists and counts of leads, newest first. A page's ids, and what is passed over on the way to it, are read from
-- the index alone, with a second filter checked there.
DROP INDEX lead_inbox_created, lead_inbox_status, lead_inbox_service;
CREATE INDEX lead_inbox_created ON lead_inbox (created_at_utc DESC, id DESC)
    INCLUDE (status, service);  -- newest first, cursor; the overview's counts of a day and a month
CREATE INDEX lead_inbox_status ON lead_inbox (status, created_at_utc DESC, id DESC)
    INCLUDE (service);          -- a status, newest first; with a service
CREATE INDEX lead_inbox_service ON lead_inbox (service, created_at_utc DESC, id DESC)
    INCLUDE (status);           -- a service, newest first; with a status

-- A search goes by how many leads a word is likely to have: more words are known with their numbers. New leads stand
-- in a list before they come into the index; each search reads that list whole, so it is kept short.
ALTER INDEX lead_inbox_words ALTER COLUMN 1 SET STATISTICS 1000;
ALTER INDEX lead_inbox_words SET (gin_pending_list_limit = 512);

-- An index alone answers only for pages that a vacuum has seen: after 20,000 new rows of a million, not 200,000.
ALTER TABLE lead_inbox SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX audit_log_actor ON audit_log (actor, event, created_at_utc DESC, id DESC);  -- who did it, and what
CREATE INDEX replay_queue_recent ON replay_queue (last_failed_at DESC, id DESC);  -- the workbench without a filter
