-- Events for other systems, and their deliveries (docs/decisions/0041). The service `webhooks` writes them.

-- One event of a lead that at least one destination wants. `id` is the webhook-id that receivers deduplicate by.
CREATE TABLE webhook_event (
    id          uuid PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,  -- the order of a lead's events
    type        text NOT NULL,
    lead_id     uuid NOT NULL,
    site        text NOT NULL,
    occurred_at timestamptz NOT NULL,
    body        text,                                 -- the JSON that is sent: personal data, null once erased
    wanted      integer NOT NULL,                     -- how many destinations wanted it: its number of deliveries
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_event_lead ON webhook_event (lead_id, position);

-- One event for one destination.
CREATE TABLE webhook_delivery (
    event_id        uuid NOT NULL REFERENCES webhook_event,
    destination     text NOT NULL,
    lead_id         uuid NOT NULL,
    position        bigint NOT NULL,                  -- of its event
    -- pending -> sending     claimed, under a lease; an attempt begins
    -- sending -> delivered   the receiver answered 2xx
    -- sending -> failed      it waits for its next attempt
    -- sending -> dead        the last retry failed
    -- sending, lease over -> sending by another process, which sends the same webhook-id again
    -- pending | failed | dead -> suppressed   the lead was erased
    state           text NOT NULL DEFAULT 'pending',
    owner           uuid,                             -- the process that holds the lease
    lease_until     timestamptz,
    attempts        integer NOT NULL DEFAULT 0,       -- requests begun
    retries         integer NOT NULL DEFAULT 0,       -- retries used up; a rate limit uses up none
    next_attempt_at timestamptz DEFAULT now(),
    status_code     integer,                          -- of the last response
    reason          text,                             -- why the last attempt failed: our own words and codes
    response        text,                             -- the beginning of the last response: erased with the lead
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    PRIMARY KEY (event_id, destination),
    CONSTRAINT delivery_state_is_known CHECK (state IN
        ('pending', 'sending', 'delivered', 'failed', 'dead', 'suppressed')),
    CONSTRAINT sending_has_a_lease CHECK (state <> 'sending' OR lease_until IS NOT NULL),
    CONSTRAINT waiting_has_a_time CHECK (state NOT IN ('pending', 'failed') OR next_attempt_at IS NOT NULL)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (destination, next_attempt_at)
    WHERE state IN ('pending', 'failed');
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (destination, created_at)
    WHERE state IN ('pending', 'failed');                                     -- the oldest that waits
CREATE INDEX webhook_delivery_delivered ON webhook_delivery (destination, delivered_at)
    WHERE state = 'delivered';                                                -- how many in the last 24 hours
CREATE INDEX webhook_delivery_sending ON webhook_delivery (destination, lease_until) WHERE state = 'sending';
CREATE INDEX webhook_delivery_lead ON webhook_delivery (lead_id, destination, position);
CREATE INDEX webhook_delivery_dead ON webhook_delivery (destination, updated_at DESC) WHERE state = 'dead';

-- The state of a destination, shared by all processes. The sites file has its settings.
CREATE TABLE webhook_destination (
    name            text PRIMARY KEY,
    failures        integer NOT NULL DEFAULT 0,       -- in a row
    paused_until    timestamptz,                      -- no attempt before; after it, one probe at a time
    paused_since    timestamptz,
    next_send_at    timestamptz NOT NULL DEFAULT now(),  -- the pace of chats
    disabled_at     timestamptz,                      -- its deliveries wait until an admin enables it
    disabled_reason text,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_reason     text,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A failed event is a record that the stage could not turn into deliveries.
ALTER TABLE replay_queue DROP CONSTRAINT queue_stage_is_known;
ALTER TABLE replay_queue ADD CONSTRAINT queue_stage_is_known CHECK (stage IN
    ('persister', 'notifier', 'webhooks', 'site')) NOT VALID;
ALTER TABLE replay_queue DROP CONSTRAINT queue_kind_is_known;
ALTER TABLE replay_queue ADD CONSTRAINT queue_kind_is_known CHECK (kind IN
    ('store', 'audit', 'welcome', 'admin_alert', 'event', 'pull')) NOT VALID;

-- Erasing a lead empties its events, and tells each destination that may have received one of them, whatever events
-- the destination wants. In the transaction of the erasure, so that neither happens without the other. The order of
-- the locks is the sender's: event, then delivery.
CREATE FUNCTION erase_webhook_events() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    notified integer;
    event    public.webhook_event%ROWTYPE;
BEGIN
    UPDATE public.webhook_event SET body = NULL WHERE lead_id = NEW.id AND type <> 'lead.erased';
    UPDATE public.webhook_delivery
    SET response = NULL, next_attempt_at = NULL, updated_at = now(),
        reason = CASE WHEN state IN ('pending', 'failed', 'dead') THEN 'erased' ELSE reason END,
        state = CASE WHEN state IN ('pending', 'failed', 'dead') THEN 'suppressed' ELSE state END
    WHERE lead_id = NEW.id;
    SELECT count(DISTINCT destination) INTO notified FROM public.webhook_delivery
    WHERE lead_id = NEW.id AND attempts > 0;
    IF notified > 0 THEN
        INSERT INTO public.webhook_event (id, type, lead_id, site, occurred_at, body, wanted)
        VALUES (gen_random_uuid(), 'lead.erased', NEW.id, NEW.site, now(),
                jsonb_build_object(
                    'type', 'lead.erased',
                    'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'data', jsonb_build_object(
                        'id', NEW.id, 'reference', right(NEW.id::text, 8), 'site', NEW.site))::text,
                notified)
        RETURNING * INTO event;
        INSERT INTO public.webhook_delivery (event_id, destination, lead_id, position)
        SELECT DISTINCT event.id, destination, NEW.id, event.position FROM public.webhook_delivery
        WHERE lead_id = NEW.id AND attempts > 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lead_erased_at_destinations AFTER UPDATE OF status ON lead_inbox
    FOR EACH ROW WHEN (NEW.status = 'erased' AND OLD.status <> 'erased') EXECUTE FUNCTION erase_webhook_events();
