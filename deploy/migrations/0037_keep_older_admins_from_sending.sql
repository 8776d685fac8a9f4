-- An admin process of before migration 0034 takes the oldest bulk change whatever its action is, and does those that it does not
-- know as `assign`: it would set the assignee of each lead to the destination's name. During a rolling upgrade, or after a
-- rollback, its transaction fails instead, so that nothing changes.
CREATE FUNCTION refuse_older_bulk_worker() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'this version of admin does not know the bulk action %', NEW.action
        USING HINT = 'Upgrade admin, or cancel the action: UPDATE bulk_change SET cancelled_at = now() WHERE id = '
                     || quote_literal(NEW.id);
END $$;
REVOKE ALL ON FUNCTION refuse_older_bulk_worker() FROM PUBLIC;

-- bulk_changes.sql sets fastcore.bulk_rates for a transaction.
CREATE TRIGGER bulk_change_worker BEFORE UPDATE OF next_position ON bulk_change FOR EACH ROW
    WHEN (NEW.per_second IS NOT NULL AND current_setting('fastcore.bulk_rates', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION refuse_older_bulk_worker();
