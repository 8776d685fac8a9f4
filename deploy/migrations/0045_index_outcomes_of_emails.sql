-- The dashboard counts the emails of the last hour and day by outcome, and groups what the servers say (docs/decisions/0051).

-- When the state last became an outcome; null in rows from before this migration. Not updated_at, which an erasure changes.
ALTER TABLE email_delivery ADD COLUMN outcome_at timestamptz;
-- Why the last attempt failed: the code and the words of the server that are the same for each email and name no person, or
-- our own reason.
ALTER TABLE email_delivery ADD COLUMN failure_group text;
CREATE INDEX email_delivery_outcome ON email_delivery (outcome_at) WHERE outcome_at IS NOT NULL;

-- Whoever writes the state: the notifier, the flusher, or what providers report later.
CREATE FUNCTION note_email_outcome() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.outcome_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER email_delivery_notes_outcome BEFORE UPDATE OF state ON email_delivery
    FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state NOT IN ('reserved', 'sending', 'suppressed'))
    EXECUTE FUNCTION note_email_outcome();
