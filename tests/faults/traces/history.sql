-- Notes each change of a lead's rows, in the transaction of the change, so that the history of the database is known:
-- what changed together, and in which order. Only for the fault suite; PostgreSQL needs track_commit_timestamp.
CREATE SCHEMA trace;
CREATE TABLE trace.change (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    lead_id     uuid NOT NULL,
    label       text NOT NULL
);
GRANT USAGE ON SCHEMA trace TO PUBLIC;

-- SECURITY DEFINER: the services' role may not write here. No personal data: a message only as its hash.
CREATE FUNCTION trace.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lead uuid;
    text text;
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'lead_inbox' THEN
        lead := NEW.id;
        text := CASE WHEN TG_OP = 'UPDATE' THEN 'status ' || NEW.status
                     WHEN NOT NEW.stored THEN 'tombstone'
                     ELSE 'lead ' || md5(NEW.message) END;
    WHEN 'email_delivery' THEN
        lead := NEW.lead_id;
        text := 'email ' || NEW.kind || ' ' || NEW.state || CASE WHEN NEW.recipient IS NULL THEN ' emptied' ELSE '' END;
    WHEN 'replay_queue' THEN
        lead := NEW.lead_id;
        text := concat_ws(' ', 'queue', NEW.stage, NEW.kind, NEW.state, CASE WHEN NEW.by_origin THEN 'by origin' END);
    WHEN 'webhook_event' THEN
        lead := NEW.lead_id;
        text := 'event ' || NEW.id || ' ' || NEW.type;
    WHEN 'webhook_delivery' THEN
        lead := NEW.lead_id;
        text := concat_ws(' ', 'delivery', NEW.event_id, NEW.state, NEW.attempts);
    WHEN 'lead_event_outbox' THEN
        IF TG_OP = 'DELETE' THEN
            lead := OLD.lead_id;
            text := 'outbox deleted ' || OLD.event_id;
        ELSE
            lead := NEW.lead_id;
            text := 'outbox written ' || NEW.event_id;
        END IF;
    ELSE  -- audit_log or a partition of it: a refusal is noted under the id of its entry
        lead := CASE WHEN NEW.event = 'lead.rejected' THEN NEW.event_id ELSE NEW.lead_id END;
        text := concat_ws(' ', 'entry', NEW.event, NEW.details_json ->> 'kind');
    END CASE;
    IF lead IS NOT NULL THEN
        INSERT INTO trace.change (lead_id, label) VALUES (lead, text);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER noted AFTER INSERT OR UPDATE OF status ON lead_inbox FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON email_delivery FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON replay_queue FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT ON webhook_event FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON webhook_delivery FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT OR DELETE ON lead_event_outbox FOR EACH ROW EXECUTE FUNCTION trace.note();
CREATE TRIGGER noted AFTER INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION trace.note();
