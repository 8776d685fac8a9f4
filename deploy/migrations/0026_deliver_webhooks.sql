-- Events for other systems, and their deliveries (docs/decisions/0041). The service `webhooks` writes them.

-- One event of a lead, for at least one destination. `id` is the webhook-id that receivers deduplicate by.
CREATE TABLE webhook_event (
    id          uuid PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY,  -- the order of a lead's events
    type        text NOT NULL,
    lead_id     uuid NOT NULL,
    site        text NOT NULL,
    occurred_at timestamptz NOT NULL,
    body        text,                                 -- the JSON that is sent: personal data, null once erased
    delivery_count integer NOT NULL,                  -- for how many destinations it is
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
    -- pending | failed | dead -> suppressed   the lead was erased; sending -> suppressed: nothing to send
    -- failed | dead -> pending   an admin sends it again
    state           text NOT NULL DEFAULT 'pending',
    owner           uuid,                             -- the claim that holds the lease
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

-- No statistics of these columns: ANALYZE would copy samples of personal data, which an erasure does not remove.
ALTER TABLE webhook_event ALTER body SET STATISTICS 0;
ALTER TABLE webhook_delivery ALTER response SET STATISTICS 0;

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
    of_site  text;
BEGIN
    -- A lead that was erased before it was stored has no site in lead_inbox.
    SELECT coalesce(nullif(NEW.site, ''), max(site), '') INTO of_site FROM public.webhook_event WHERE lead_id = NEW.id;
    UPDATE public.webhook_event SET body = NULL WHERE lead_id = NEW.id AND type <> 'lead.erased';
    UPDATE public.webhook_delivery
    SET response = NULL, next_attempt_at = NULL, updated_at = now(),
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
CREATE TRIGGER lead_erased_at_destinations AFTER UPDATE OF status ON lead_inbox
    FOR EACH ROW WHEN (NEW.status = 'erased' AND OLD.status <> 'erased') EXECUTE FUNCTION erase_webhook_events();
-- erase_record inserts the tombstone of a lead that was never stored.
CREATE TRIGGER lead_erased_unstored_at_destinations AFTER INSERT ON lead_inbox
    FOR EACH ROW WHEN (NEW.status = 'erased') EXECUTE FUNCTION erase_webhook_events();

-- As in migration 0017, and a lead that only the webhooks service knows is known.
-- Remove the person from everything that we hold of a lead; keep its row, its place in the ledger and its audit trail.
-- Returns null where no such lead is known, else what was emptied. A lead that was never stored becomes a tombstone,
-- so that a redelivery finds it and is a duplicate.
--
-- A row named by its origin stands under the id of the lead that it collided with, and may hold another person's
-- record. It is emptied where its address is one of this lead's, where it has none, or where nothing is known of the
-- lead. A stored lead without an address is known: it takes no record of somebody who gave one.
--
-- One erasure at a time, and none beside a transaction that may write a lead's data again (the notifier's reservation
-- and the flusher's intake hold this lock together): what they read as not erased stays so until they commit, and is
-- then erased with the rest. The persister needs no lock: its insert and ours meet at the primary key. Rows are locked
-- in the order of all other writers: lead, deliveries, queue. A writer of a note locks its lead first.
CREATE OR REPLACE FUNCTION public.erase_lead(wanted uuid, eraser text) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lead        public.lead_inbox%ROWTYPE;
    first_seen  timestamptz;
    theirs      text[];
    mail_count  bigint;
    queue_count bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('fastcore.erase', 0));
    SELECT * INTO lead FROM public.lead_inbox WHERE id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        SELECT min(seen) INTO first_seen FROM (
            SELECT origin_timestamp FROM public.replay_queue WHERE lead_id = wanted
            UNION ALL SELECT created_at FROM public.webhook_event WHERE lead_id = wanted
            UNION ALL SELECT created_at FROM public.email_delivery WHERE lead_id = wanted) AS traces (seen);
        IF first_seen IS NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO public.lead_inbox
            (id, request_id, site, email, service, name, message, body_sha256, stored, created_at_utc)
        VALUES (wanted, '', '', '', '', '', '', '', false, first_seen)
        ON CONFLICT (id) DO NOTHING;  -- waits for a persister that stores it at this moment
        SELECT * INTO lead FROM public.lead_inbox WHERE id = wanted FOR UPDATE;
    END IF;
    SELECT coalesce(array_agg(lower(address)), '{}') INTO theirs FROM (
        SELECT lead.email UNION SELECT lead.original ->> 'email'
        UNION SELECT recipient FROM public.email_delivery WHERE lead_id = wanted AND kind = 'welcome'
        UNION SELECT unnest(public.record_addresses(payload) || public.record_addresses(original_payload))
        FROM public.replay_queue WHERE lead_id = wanted AND NOT by_origin) AS known (address)
    WHERE address <> '';

    UPDATE public.email_delivery
    SET recipient = NULL, smtp_answer = NULL, updated_at = now(),
        state = CASE WHEN state = 'waiting' THEN 'suppressed' ELSE state END,
        reason = CASE WHEN state = 'waiting' THEN 'erased' ELSE reason END
    WHERE lead_id = wanted AND (recipient IS NOT NULL OR smtp_answer IS NOT NULL OR state = 'waiting');
    GET DIAGNOSTICS mail_count = ROW_COUNT;

    UPDATE public.replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(),
        state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE lead_id = wanted
      AND (payload IS NOT NULL OR original_payload IS NOT NULL OR record_key IS NOT NULL OR headers <> '{}'
           OR state NOT IN ('resolved', 'archived'))
      AND (NOT by_origin OR (theirs = '{}' AND NOT lead.stored AND lead.status <> 'erased')
           OR public.record_addresses(coalesce(original_payload, payload)) && theirs
           OR public.record_addresses(coalesce(original_payload, payload)) = '{}');
    GET DIAGNOSTICS queue_count = ROW_COUNT;

    DELETE FROM public.lead_note WHERE lead_id = wanted;

    IF lead.status <> 'erased' THEN
        UPDATE public.lead_inbox
        SET status = 'erased', email = '', name = '', phone = NULL, company = NULL, message = '',
            consent_text = NULL, locale = NULL, submitted_at = NULL, source = NULL, extra = '{}', body_sha256 = '',
            assignee = NULL, notes = NULL, original = NULL, updated_at = now()
        WHERE id = wanted;
        INSERT INTO public.audit_log (event_id, event, actor, details_json, lead_id, request_id)
        VALUES (gen_random_uuid(), 'lead.erased', eraser,
                jsonb_build_object('stored', lead.stored, 'emails', mail_count, 'queue_rows', queue_count),
                wanted, nullif(lead.request_id, ''));
        lead.updated_at := now();
        PERFORM public.request_statistics();
    END IF;
    RETURN jsonb_build_object('already', lead.status = 'erased', 'erased_at', lead.updated_at, 'stored', lead.stored,
                              'emails', mail_count, 'queue_rows', queue_count);
END $$;
