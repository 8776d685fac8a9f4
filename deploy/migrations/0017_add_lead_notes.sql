-- Notes on a lead, each with its author and time (docs/decisions/0038). The column lead_inbox.notes stays: the API writes it.

-- One note. Its text is personal data: it may name anybody. A deleted note is gone; the audit log has who deleted it and when.
CREATE TABLE lead_note (
    id         uuid PRIMARY KEY,
    lead_id    uuid NOT NULL REFERENCES lead_inbox,
    author     text NOT NULL,                      -- the actor who wrote it
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), -- later than created_at: edited
    CONSTRAINT note_is_bounded CHECK (char_length(body) BETWEEN 1 AND 10000)
);
CREATE INDEX lead_note_lead ON lead_note (lead_id, created_at DESC);  -- a lead's page

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
