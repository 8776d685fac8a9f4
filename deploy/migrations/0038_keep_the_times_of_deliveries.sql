-- As in migration 0026, but a delivery that is over keeps the time at which it ended: it shows when a system received what
-- was erased later.
CREATE OR REPLACE FUNCTION erase_webhook_events() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    notified integer;
    event    public.webhook_event%ROWTYPE;
    of_site  text;
BEGIN
    -- A lead that was erased before it was stored has no site in lead_inbox.
    SELECT coalesce(nullif(NEW.site, ''), max(site), '') INTO of_site FROM public.webhook_event WHERE lead_id = NEW.id;
    UPDATE public.webhook_event SET body = NULL WHERE lead_id = NEW.id AND type <> 'lead.erased';
    UPDATE public.webhook_delivery
    SET response = NULL, next_attempt_at = NULL,
        updated_at = CASE WHEN state IN ('pending', 'failed', 'dead') THEN now() ELSE updated_at END,
        reason = CASE WHEN state IN ('pending', 'failed', 'dead') THEN 'erased' ELSE reason END,
        state = CASE WHEN state IN ('pending', 'failed', 'dead') THEN 'suppressed' ELSE state END
    WHERE lead_id = NEW.id;
    SELECT count(DISTINCT destination) INTO notified FROM public.webhook_delivery
    WHERE lead_id = NEW.id AND attempts > 0;
    IF notified > 0 THEN
        INSERT INTO public.webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)
        VALUES (gen_random_uuid(), 'lead.erased', NEW.id, of_site, now(),
                jsonb_build_object(
                    'type', 'lead.erased',
                    'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'data', jsonb_build_object(
                        'id', NEW.id, 'reference', right(NEW.id::text, 8), 'site', of_site))::text,
                notified)
        RETURNING * INTO event;
        INSERT INTO public.webhook_delivery (event_id, destination, lead_id, position)
        SELECT DISTINCT event.id, destination, NEW.id, event.position FROM public.webhook_delivery
        WHERE lead_id = NEW.id AND attempts > 0;
    END IF;
    RETURN NULL;
END $$;
