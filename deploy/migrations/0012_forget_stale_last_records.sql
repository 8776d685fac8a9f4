-- A service from before migration 0008 advances next_offset and leaves last_record, which then names a record at
-- another offset: beside newer services, in a rolling upgrade, the log was taken for another one. So a last_record
-- that an update leaves as it was is forgotten. Newer services write both. Two records with one key and one
-- timestamp have an equal last_record: it is forgotten then too, and known again after the next batch.
CREATE FUNCTION public.forget_last_record() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.last_record := NULL;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION public.forget_last_record() FROM PUBLIC;

CREATE TRIGGER partition_ledger_forgets_last_record BEFORE UPDATE ON partition_ledger
    FOR EACH ROW WHEN (NEW.next_offset <> OLD.next_offset AND NEW.last_record IS NOT DISTINCT FROM OLD.last_record
                       AND NEW.last_record IS NOT NULL)
    EXECUTE FUNCTION public.forget_last_record();
