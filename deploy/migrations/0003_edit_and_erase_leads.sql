-- Edited leads keep what first came; erased ones keep nothing of the person. Erasing is one function, so
-- that the admin service and the flusher's retention job mean the same by it.

ALTER TABLE lead_inbox
    ADD COLUMN original jsonb,                        -- the visitor's fields as they came, once edited
    ADD COLUMN stored boolean NOT NULL DEFAULT true;  -- false: erased before it was stored; the books count the others
CREATE INDEX lead_inbox_never_stored ON lead_inbox (id) WHERE NOT stored;                            -- the books
CREATE INDEX lead_inbox_original_email ON lead_inbox ((original ->> 'email')) WHERE original IS NOT NULL;  -- a person's leads

ALTER TABLE replay_queue ADD COLUMN original_payload bytea;  -- the payload as it came, once edited

-- Take the person out of everything that we hold of a lead, and keep the record, the books and the audit trail.
-- Returns null where no such lead is known, else what was emptied. A lead that was never stored becomes a
-- tombstone, so that a redelivery finds it and is a duplicate.
--
-- One erasure at a time, and none beside a transaction that may write a lead's data anew (the notifier's
-- reservation and the flusher's intake hold this lock together): what they read as not erased stays so
-- until they commit, and is then erased with the rest. The persister needs no lock: its insert and ours meet
-- at the primary key. Rows are locked in the order of all other writers: lead, deliveries, queue.
CREATE FUNCTION erase_lead(wanted uuid, eraser text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    lead        lead_inbox%ROWTYPE;
    first_seen  timestamptz;
    mail_count  bigint;
    queue_count bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('fastcore.erase', 0));
    SELECT * INTO lead FROM lead_inbox WHERE id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        SELECT min(seen) INTO first_seen FROM (
            SELECT origin_timestamp FROM replay_queue WHERE lead_id = wanted
            UNION ALL SELECT created_at FROM email_delivery WHERE lead_id = wanted) AS traces (seen);
        IF first_seen IS NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, stored, created_at_utc)
        VALUES (wanted, '', '', '', '', '', '', '', false, first_seen)
        ON CONFLICT (id) DO NOTHING;  -- waits for a persister that stores it at this moment
        SELECT * INTO lead FROM lead_inbox WHERE id = wanted FOR UPDATE;
    END IF;

    UPDATE email_delivery
    SET recipient = NULL, smtp_answer = NULL, updated_at = now(),
        state = CASE WHEN state = 'waiting' THEN 'suppressed' ELSE state END,
        reason = CASE WHEN state = 'waiting' THEN 'erased' ELSE reason END
    WHERE lead_id = wanted AND (recipient IS NOT NULL OR smtp_answer IS NOT NULL OR state = 'waiting');
    GET DIAGNOSTICS mail_count = ROW_COUNT;

    UPDATE replay_queue
    SET payload = NULL, original_payload = NULL, record_key = NULL, headers = '{}', next_attempt_at = NULL,
        requested_at = NULL, requested_comment = NULL, updated_at = now(), state = CASE WHEN state = 'resolved' THEN state ELSE 'archived' END
    WHERE lead_id = wanted AND (payload IS NOT NULL OR original_payload IS NOT NULL OR record_key IS NOT NULL
                                OR headers <> '{}' OR state NOT IN ('resolved', 'archived'));
    GET DIAGNOSTICS queue_count = ROW_COUNT;

    IF lead.status <> 'erased' THEN
        UPDATE lead_inbox
        SET status = 'erased', email = '', name = '', phone = NULL, company = NULL, message = '',
            consent_text = NULL, locale = NULL, submitted_at = NULL, source = NULL, extra = '{}', body_sha256 = '',
            assignee = NULL, notes = NULL, original = NULL, updated_at = now()
        WHERE id = wanted;
        INSERT INTO audit_log (event_id, event, actor, details_json, lead_id, request_id)
        VALUES (gen_random_uuid(), 'lead.erased', eraser,
                jsonb_build_object('stored', lead.stored, 'emails', mail_count, 'queue_rows', queue_count),
                wanted, nullif(lead.request_id, ''));
        lead.updated_at := now();
    END IF;
    RETURN jsonb_build_object('already', lead.status = 'erased', 'erased_at', lead.updated_at, 'stored', lead.stored,
                              'emails', mail_count, 'queue_rows', queue_count);
END $$;
