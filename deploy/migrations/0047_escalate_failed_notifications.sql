-- Team notifications that nobody received are reported to destinations, in groups (docs/decisions/0056).

-- One event for several leads of a site. `id` is the event's id.
CREATE TABLE alert_escalation (
    id         uuid PRIMARY KEY,
    site       text NOT NULL,
    lead_ids   uuid[] NOT NULL,                       -- the oldest failure first
    reason     text,                                  -- what most of the servers said, without personal data
    since      timestamptz NOT NULL,                  -- the oldest failure
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT escalation_has_leads CHECK (cardinality(lead_ids) > 0)
);
CREATE INDEX alert_escalation_site ON alert_escalation (site, created_at DESC);  -- when was the site's last event?
-- Each lead is in one event at most.
CREATE TABLE escalated_alert (
    lead_id       uuid PRIMARY KEY,
    escalation_id uuid NOT NULL REFERENCES alert_escalation
);

ALTER TABLE lead_event_outbox
    ADD COLUMN lead_ids uuid[] NOT NULL DEFAULT '{}', -- of lead.alert_failed: the leads
    ADD COLUMN reason   text,                         -- of lead.alert_failed: why the notifications failed
    ADD COLUMN since    timestamptz,                  -- of lead.alert_failed: the oldest failure
    DROP CONSTRAINT outbox_type_is_known,
    ADD CONSTRAINT outbox_type_is_known CHECK (type IN ('lead.updated', 'lead.status_changed', 'lead.alert_failed'));

-- In the transaction that marks the leads, so that no event is lost or repeated. The services' role cannot insert events;
-- the owner's rights do it here.
CREATE FUNCTION write_alert_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.lead_event_outbox (event_id, type, lead_id, site, lead_ids, reason, since, created_at)
    VALUES (NEW.id, 'lead.alert_failed', NEW.lead_ids[1], NEW.site, NEW.lead_ids, NEW.reason, NEW.since, NEW.created_at);
    RETURN NULL;
END $$;
CREATE TRIGGER alert_escalated AFTER INSERT ON alert_escalation FOR EACH ROW EXECUTE FUNCTION write_alert_event();

-- As in migration 0038, but lead.alert_failed stays: it is about several leads, and has only their ids.
CREATE OR REPLACE FUNCTION erase_webhook_events() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    notified text[];
    event    public.webhook_event%ROWTYPE;
    of_site  text;
BEGIN
    -- A lead that was erased before it was stored has no site in lead_inbox.
    SELECT coalesce(nullif(NEW.site, ''), max(site), '') INTO of_site FROM public.webhook_event WHERE lead_id = NEW.id;
    UPDATE public.webhook_event SET body = NULL
    WHERE lead_id = NEW.id AND type NOT IN ('lead.erased', 'lead.alert_failed');
    UPDATE public.webhook_delivery AS d
    SET response = NULL, next_attempt_at = NULL,
        updated_at = CASE WHEN d.state IN ('pending', 'failed', 'dead') THEN now() ELSE d.updated_at END,
        reason = CASE WHEN d.state IN ('pending', 'failed', 'dead') THEN 'erased' ELSE d.reason END,
        state = CASE WHEN d.state IN ('pending', 'failed', 'dead') THEN 'suppressed' ELSE d.state END
    FROM public.webhook_event AS e
    WHERE d.lead_id = NEW.id AND e.id = d.event_id AND e.type <> 'lead.alert_failed';
    SELECT array_agg(DISTINCT d.destination) INTO notified
    FROM public.webhook_delivery AS d JOIN public.webhook_event AS e ON e.id = d.event_id
    WHERE d.lead_id = NEW.id AND d.attempts > 0 AND e.type <> 'lead.alert_failed';
    IF notified IS NOT NULL THEN
        INSERT INTO public.webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)
        VALUES (gen_random_uuid(), 'lead.erased', NEW.id, of_site, now(),
                jsonb_build_object(
                    'type', 'lead.erased',
                    'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'data', jsonb_build_object(
                        'id', NEW.id, 'reference', right(NEW.id::text, 8), 'site', of_site))::text,
                cardinality(notified))
        RETURNING * INTO event;
        INSERT INTO public.webhook_delivery (event_id, destination, lead_id, position)
        SELECT event.id, destination, NEW.id, event.position FROM unnest(notified) AS destination;
    END IF;
    RETURN NULL;
END $$;
