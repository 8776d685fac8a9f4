-- A transactional outbox for what admins and jobs change in a lead (docs/decisions/0044). The flusher publishes its rows
-- to leads.changed.v1. A row has no personal data: it names the fields that changed, not their values.
CREATE TABLE lead_event_outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order of one lead's events
    event_id    uuid NOT NULL DEFAULT gen_random_uuid(),          -- the same however often it is published
    type        text NOT NULL,
    lead_id     uuid NOT NULL,
    site        text NOT NULL,
    changed     text[] NOT NULL DEFAULT '{}',                     -- of lead.updated: the names of the fields
    from_status text,                                             -- of lead.status_changed
    to_status   text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- published: its row is deleted after Kafka's acknowledgement
    CONSTRAINT outbox_type_is_known CHECK (type IN ('lead.updated', 'lead.status_changed'))
);
CREATE INDEX lead_event_outbox_lead ON lead_event_outbox (lead_id, position);  -- is an earlier event of the lead unpublished?

-- Write the events of a changed lead, in the transaction of the change: no path to a change can forget them. Not of the
-- team's notes, which destinations do not receive. The services' role cannot insert events; the owner's rights do it here.
CREATE FUNCTION write_lead_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names text[] := array_remove(ARRAY[
        CASE WHEN OLD.site IS DISTINCT FROM NEW.site THEN 'site' END,
        CASE WHEN OLD.name IS DISTINCT FROM NEW.name THEN 'name' END,
        CASE WHEN OLD.email IS DISTINCT FROM NEW.email THEN 'email' END,
        CASE WHEN OLD.phone IS DISTINCT FROM NEW.phone THEN 'phone' END,
        CASE WHEN OLD.company IS DISTINCT FROM NEW.company THEN 'company' END,
        CASE WHEN OLD.service IS DISTINCT FROM NEW.service THEN 'service' END,
        CASE WHEN OLD.message IS DISTINCT FROM NEW.message THEN 'message' END,
        CASE WHEN OLD.consent IS DISTINCT FROM NEW.consent THEN 'consent' END,
        CASE WHEN OLD.consent_text IS DISTINCT FROM NEW.consent_text THEN 'consent_text' END,
        CASE WHEN OLD.consent_version IS DISTINCT FROM NEW.consent_version THEN 'consent_version' END,
        CASE WHEN OLD.locale IS DISTINCT FROM NEW.locale THEN 'locale' END,
        CASE WHEN OLD.source IS DISTINCT FROM NEW.source THEN 'source' END,
        CASE WHEN OLD.extra IS DISTINCT FROM NEW.extra THEN 'extra' END,
        CASE WHEN OLD.assignee IS DISTINCT FROM NEW.assignee THEN 'assignee' END], NULL);
BEGIN
    IF names <> '{}' THEN
        INSERT INTO public.lead_event_outbox (type, lead_id, site, changed)
        VALUES ('lead.updated', NEW.id, NEW.site, names);
    END IF;
    IF OLD.status <> NEW.status THEN
        INSERT INTO public.lead_event_outbox (type, lead_id, site, from_status, to_status)
        VALUES ('lead.status_changed', NEW.id, NEW.site, OLD.status, NEW.status);
    END IF;
    RETURN NULL;
END $$;
-- An erasure has its own trigger (0026). A lead that stays spam or held is nobody's business outside.
CREATE TRIGGER lead_changed AFTER UPDATE ON lead_inbox FOR EACH ROW
    WHEN (NEW.status <> 'erased' AND NOT (OLD.status IN ('spam', 'held') AND NEW.status IN ('spam', 'held'))
          AND (OLD.status, OLD.site, OLD.name, OLD.email, OLD.phone, OLD.company, OLD.service, OLD.message, OLD.consent,
               OLD.consent_text, OLD.consent_version, OLD.locale, OLD.source, OLD.extra, OLD.assignee) IS DISTINCT FROM
              (NEW.status, NEW.site, NEW.name, NEW.email, NEW.phone, NEW.company, NEW.service, NEW.message, NEW.consent,
               NEW.consent_text, NEW.consent_version, NEW.locale, NEW.source, NEW.extra, NEW.assignee))
    EXECUTE FUNCTION write_lead_events();
