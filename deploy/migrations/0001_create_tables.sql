-- The tables of FASTCore. Rows of lead_inbox, audit_log, email_delivery and replay_queue are never
-- deleted: the books (docs: ARCHITECTURE.md) count them. Times are timestamptz.

-- The separated words of what people search leads by. Immutable, so that an index can stand on it;
-- 'simple' because names and addresses must not be stemmed. Without its punctuation a text has no
-- hosts, addresses, tags or signed numbers that the parser would keep as one word ("acme.com").
CREATE FUNCTION lead_words(email text, name text, company text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig,
    translate(email || ' ' || name || ' ' || coalesce(company, ''),
              '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

CREATE TABLE lead_inbox (
    id              uuid PRIMARY KEY,
    request_id      text NOT NULL,
    site            text NOT NULL,
    email           text NOT NULL,
    service         text NOT NULL,
    -- received -> processing -> contacted -> won | lost   (admins move freely between these)
    -- spam -> received     an admin's word; the mails are sent then
    -- any  -> erased       terminal: the tombstone keeps a redelivery from reviving the lead
    status          text NOT NULL DEFAULT 'received',
    name            text NOT NULL,
    phone           text,
    company         text,
    message         text NOT NULL,
    consent         boolean,
    consent_text    text,
    consent_version text,
    locale          text,
    submitted_at    timestamptz,              -- the visitor's clock
    source          jsonb,
    extra           jsonb NOT NULL DEFAULT '{}',
    spam_reasons    text[] NOT NULL DEFAULT '{}',
    body_sha256     text NOT NULL,            -- same id and another hash: a conflict
    assignee        text,
    notes           text,
    created_at_utc  timestamptz NOT NULL,     -- the time in the 201
    stored_at       timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lead_status_is_known CHECK (status IN
        ('received', 'processing', 'contacted', 'won', 'lost', 'spam', 'erased'))
);
CREATE INDEX lead_inbox_email ON lead_inbox (email);              -- a person's leads; the welcome limit
CREATE INDEX lead_inbox_request_id ON lead_inbox (request_id);    -- support: "what became of request x?"
CREATE INDEX lead_inbox_created ON lead_inbox (created_at_utc DESC, id DESC);          -- newest first, cursor
CREATE INDEX lead_inbox_status ON lead_inbox (status, created_at_utc DESC, id DESC);   -- a status, newest first
CREATE INDEX lead_inbox_service ON lead_inbox (service, created_at_utc DESC, id DESC); -- a service, newest first
CREATE INDEX lead_inbox_words ON lead_inbox USING gin (lead_words(email, name, company));  -- prefix search

CREATE TABLE audit_log (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       uuid NOT NULL,
    event          text NOT NULL,
    actor          text NOT NULL,
    status_code    integer,
    details_json   jsonb NOT NULL DEFAULT '{}',
    lead_id        uuid,
    request_id     text,
    created_at_utc timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_event_happens_once UNIQUE (event_id)
);
CREATE INDEX audit_log_event ON audit_log (event, created_at_utc DESC);      -- the log by event
CREATE INDEX audit_log_lead ON audit_log (lead_id, created_at_utc);          -- a lead's timeline
CREATE INDEX audit_log_request ON audit_log (request_id);                    -- one request's entries
CREATE INDEX audit_log_created ON audit_log (created_at_utc DESC, id DESC);  -- the log, newest first

-- A row trigger does not see TRUNCATE, so these are statement triggers; ALWAYS, so that
-- session_replication_role cannot switch them off.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_is_append_only;

-- One mail of one kind to one lead. No foreign key: the notifier may know a lead before the persister.
CREATE TABLE email_delivery (
    lead_id     uuid NOT NULL,
    kind        text NOT NULL,
    -- reserved (with a lease) -> sending (committed before DATA) -> sent | waiting | dead | unknown
    -- reserved, lease over  -> reserved by another;   sending, lease over -> unknown
    -- waiting | dead | unknown -> reserved            only by a retry or an admin's resend
    -- suppressed                                      spam, erased, or too many to one address
    state       text NOT NULL,
    owner       uuid,                       -- the process that holds the lease
    lease_until timestamptz,
    attempts    integer NOT NULL DEFAULT 0, -- transactions begun with a mail server
    recipient   text,                       -- personal data: null once erased
    message_id  text NOT NULL,
    reason      text,                       -- our own word and code
    smtp_answer text,                       -- the server's text: personal data, erased with the lead
    settled_by  uuid,                       -- the record (its failure id) that brought the state: its redelivery changes nothing
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    PRIMARY KEY (lead_id, kind),
    CONSTRAINT delivery_kind_is_known CHECK (kind IN ('welcome', 'admin_alert')),
    CONSTRAINT delivery_state_is_known CHECK (state IN
        ('reserved', 'sending', 'sent', 'waiting', 'dead', 'unknown', 'suppressed')),
    CONSTRAINT in_hand_has_a_lease CHECK (state NOT IN ('reserved', 'sending') OR lease_until IS NOT NULL)
);
CREATE INDEX email_delivery_open ON email_delivery (state, lease_until)
    WHERE state NOT IN ('sent', 'suppressed');                       -- counts of what is not done
CREATE INDEX email_delivery_recipient ON email_delivery (recipient, created_at)
    WHERE kind = 'welcome';                                          -- welcomes to one address in a day

-- What failed and may be replayed. Payloads are kept only while they are needed.
CREATE TABLE replay_queue (
    id               uuid PRIMARY KEY,
    stage            text NOT NULL,
    kind             text NOT NULL,
    lead_id          uuid,                   -- null where the record could not be decoded
    -- waiting -> replaying   sent to the stage's retry topic, acknowledged by Kafka
    -- replaying -> waiting   failed again, retries left;  -> dead  none left, or final
    -- resolved -> waiting    failed anew, with three new retries
    -- any -> resolved        by the stage, in the transaction of its effect
    -- waiting -> archived    cleared by an admin
    -- dead | archived -> waiting   replayed by an admin, with three new retries
    state            text NOT NULL DEFAULT 'waiting',
    final            boolean NOT NULL DEFAULT false,
    by_origin        boolean NOT NULL DEFAULT false,  -- a conflict, or not decodable: named by its origin
    replay_lead_id   uuid,                   -- a conflict is replayed as a new lead, under this id
    reason           text NOT NULL,
    error            text NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,   -- automatic retries sent, at most 3
    next_attempt_at  timestamptz,                  -- when a job sends it; only while waiting or replaying
    requested_at     timestamptz,                  -- an admin wants it now; burns no retry
    requested_by     text,
    last_sent_at     timestamptz,
    origin_topic     text NOT NULL,
    origin_partition integer NOT NULL,
    origin_offset    bigint NOT NULL,
    origin_timestamp timestamptz NOT NULL,
    origin_group     text NOT NULL,
    record_key       bytea,
    payload          bytea,
    headers          jsonb NOT NULL DEFAULT '{}',  -- content-type, correlation_id, traceparent
    made_by          text NOT NULL DEFAULT 'flusher',  -- flusher (from Kafka), admin or site_pull
    first_failed_at  timestamptz NOT NULL,
    last_failed_at   timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT queue_stage_is_known CHECK (stage IN ('persister', 'notifier', 'site')),
    CONSTRAINT queue_kind_is_known CHECK (kind IN ('store', 'welcome', 'admin_alert', 'pull')),
    CONSTRAINT queue_state_is_known CHECK (state IN
        ('waiting', 'replaying', 'resolved', 'dead', 'archived')),
    CONSTRAINT queue_maker_is_known CHECK (made_by IN ('flusher', 'admin', 'site_pull')),
    CONSTRAINT at_most_three_retries CHECK (attempts BETWEEN 0 AND 3),
    CONSTRAINT waiting_has_a_time CHECK (state NOT IN ('waiting', 'replaying') OR next_attempt_at IS NOT NULL),
    CONSTRAINT waiting_has_a_payload CHECK (state NOT IN ('waiting', 'replaying') OR payload IS NOT NULL)
);
-- A lead's trouble with one effect is one row; a conflict or an undecodable record is named by its origin.
CREATE UNIQUE INDEX replay_queue_lead ON replay_queue (stage, lead_id, kind)
    WHERE lead_id IS NOT NULL AND NOT by_origin;
CREATE UNIQUE INDEX replay_queue_origin ON replay_queue (stage, origin_topic, origin_partition, origin_offset, kind)
    WHERE lead_id IS NULL OR by_origin;
CREATE INDEX replay_queue_due ON replay_queue (stage, next_attempt_at)
    WHERE state IN ('waiting', 'replaying');                         -- the five-minute job
CREATE INDEX replay_queue_requested ON replay_queue (requested_at)
    WHERE state = 'waiting' AND requested_at IS NOT NULL;            -- the two-second poll
CREATE INDEX replay_queue_lead_id ON replay_queue (lead_id);         -- a lead's page
CREATE INDEX replay_queue_state ON replay_queue (state, last_failed_at DESC);  -- the workbench

-- One row a job: what it is, how its last run went, when it runs next.
CREATE TABLE scheduled_job (
    name             text PRIMARY KEY,
    schedule         text NOT NULL,
    runs             bigint NOT NULL DEFAULT 0,
    last_started_at  timestamptz,
    last_finished_at timestamptz,
    last_outcome     text,
    last_duration_ms integer,
    last_details     jsonb NOT NULL DEFAULT '{}',
    next_run_at      timestamptz,
    CONSTRAINT job_outcome_is_known CHECK (last_outcome IN ('running', 'succeeded', 'failed'))
);

-- The books: what became of each record of a partition. A new epoch begins with a new log.
CREATE TABLE partition_ledger (
    stage       text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    epoch       integer NOT NULL DEFAULT 1,
    base_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    stored      bigint NOT NULL DEFAULT 0,
    duplicate   bigint NOT NULL DEFAULT 0,
    parked      bigint NOT NULL DEFAULT 0,
    undecodable bigint NOT NULL DEFAULT 0,
    missing     bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stage, topic, partition, epoch),
    CONSTRAINT books_balance CHECK
        (next_offset - base_offset = stored + duplicate + parked + undecodable + missing)
);

-- A stage's breaker: open means that the stage is paused until a restart or an admin closes it.
CREATE TABLE stage_control (
    stage      text PRIMARY KEY,
    paused     boolean NOT NULL DEFAULT false,
    reason     text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
