-- What the overview shows at a million leads: when each lead was answered and decided, and counts of past days.

-- A lead that a person has moved on from received. `responded_at` is the first time; a lead that goes back to received,
-- or becomes spam, counts as not answered. Nothing of the visitor is in it, so it stays when the lead is erased.
CREATE TABLE lead_response (
    lead_id      uuid PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    responded_at timestamptz NOT NULL,
    decided_at   timestamptz,           -- when it was won or lost; null while it is neither
    outcome      text,                  -- won, lost
    assignee     text,                  -- of the lead; null after an erasure
    CONSTRAINT response_outcome_is_known CHECK (outcome IN ('won', 'lost')),
    CONSTRAINT response_outcome_has_a_time CHECK ((outcome IS NULL) = (decided_at IS NULL))
);
-- The services' role may not write the table itself: the owner's rights do it here.
CREATE FUNCTION note_response() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.status IN ('received', 'held', 'spam') THEN
        DELETE FROM public.lead_response WHERE lead_id = NEW.id;
    ELSIF NEW.status = OLD.status OR NEW.status = 'erased' THEN
        UPDATE public.lead_response SET assignee = NEW.assignee WHERE lead_id = NEW.id;
    ELSE
        INSERT INTO public.lead_response AS known (lead_id, received_at, responded_at, decided_at, outcome, assignee)
        SELECT NEW.id, NEW.created_at_utc, now(), CASE WHEN outcome IS NOT NULL THEN now() END, outcome, NEW.assignee
        FROM (SELECT CASE WHEN NEW.status IN ('won', 'lost') THEN NEW.status END) AS decision (outcome)
        ON CONFLICT (lead_id) DO UPDATE
        SET decided_at = excluded.decided_at, outcome = excluded.outcome, assignee = excluded.assignee;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lead_inbox_response AFTER UPDATE OF status, assignee ON lead_inbox FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.assignee IS DISTINCT FROM NEW.assignee)
    EXECUTE FUNCTION note_response();
-- The audit log has every change of a status until now.
INSERT INTO lead_response (lead_id, received_at, responded_at, decided_at, outcome, assignee)
SELECT lead.id, lead.created_at_utc, responded_at,
       CASE WHEN status IN ('won', 'lost') THEN coalesce(decided_at, responded_at) END,
       CASE WHEN status IN ('won', 'lost') THEN status END, assignee
FROM (SELECT lead_id, min(created_at_utc) AS responded_at,
             max(created_at_utc) FILTER (WHERE details_json ->> 'to' IN ('won', 'lost')) AS decided_at
      FROM audit_log WHERE event = 'lead.status_changed' AND details_json ->> 'to' NOT IN ('received', 'held', 'spam')
      GROUP BY lead_id) AS told
JOIN lead_inbox AS lead ON lead.id = told.lead_id
WHERE status NOT IN ('received', 'held', 'spam');
CREATE INDEX lead_response_responded ON lead_response (responded_at) INCLUDE (received_at, assignee);  -- response times
CREATE INDEX lead_response_decided ON lead_response (decided_at) INCLUDE (outcome) WHERE decided_at IS NOT NULL;  -- won rate

-- What leads are counted by: one row for each lead and dimension. An empty value is a lead that does not say.
CREATE VIEW lead_dimension AS
SELECT id, created_at_utc, status, dimension, coalesce(value, '') AS value
FROM lead_inbox CROSS JOIN LATERAL (VALUES
    ('site', site),
    ('service', service),
    ('source', source ->> 'utm_source'),
    ('first_source', coalesce(source ->> 'first_utm_source', source ->> 'utm_source')),
    ('campaign', source ->> 'utm_campaign'),
    ('landing_page', left(split_part(split_part(source ->> 'landing_page', '?', 1), '#', 1), 200))
) AS part (dimension, value);

-- Leads of past days, which rarely change: the overview counts today's anew each time. The dimension 'all' has a row for
-- each quarter of an hour with a lead, because days begin at one in every time zone; the others have one for each UTC day.
CREATE TABLE lead_summary (
    dimension text NOT NULL,
    at        timestamptz NOT NULL,
    value     text NOT NULL,
    leads     bigint NOT NULL,       -- without spam
    spam      bigint NOT NULL,
    PRIMARY KEY (dimension, at, value)
);
-- The days before `covered_until` are in lead_summary, with all changes before `read_until`.
CREATE TABLE lead_summary_state (
    covered_until timestamptz NOT NULL,
    read_until    timestamptz NOT NULL
);
INSERT INTO lead_summary_state VALUES ('2000-01-01 00:00:00+00', '2000-01-01 00:00:00+00');
CREATE INDEX lead_inbox_updated ON lead_inbox (updated_at);  -- which days have changed

-- Count the days anew that ended or in which a lead changed since the last run. Returns how many days. The overview
-- compares a year with the year before, so older days are removed. A transaction may commit minutes after the time that
-- it has written, so the last 10 minutes are read again.
CREATE FUNCTION refresh_lead_summary() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today  timestamptz := date_trunc('day', now(), 'UTC');
    oldest timestamptz := date_trunc('day', now() - interval '25 months', 'UTC');
    every  text[] := '{all,site,service,source,first_source,campaign,landing_page}';  -- so that the index is used
    state  public.lead_summary_state;
    days   timestamptz[];
BEGIN
    SELECT * INTO STRICT state FROM public.lead_summary_state FOR UPDATE;
    SELECT array_agg(day) INTO days FROM (
        SELECT date_trunc('day', created_at_utc, 'UTC') AS day
        FROM public.lead_inbox WHERE updated_at >= state.read_until - interval '10 minutes'
        UNION SELECT generate_series(greatest(state.covered_until, oldest), today - interval '1 day', interval '1 day')
    ) AS changed WHERE day >= oldest AND day < today;
    DELETE FROM public.lead_summary WHERE dimension = ANY (every) AND at < oldest;
    DELETE FROM public.lead_summary USING unnest(days) AS day
    WHERE dimension = ANY (every) AND at >= day AND at < day + interval '1 day';
    INSERT INTO public.lead_summary
    SELECT 'all', date_bin('15 minutes', created_at_utc, '2000-01-01 00:00:00+00'), '',
           count(*) FILTER (WHERE status <> 'spam'), count(*) FILTER (WHERE status = 'spam')
    FROM unnest(days) AS day
    JOIN public.lead_inbox ON created_at_utc >= day AND created_at_utc < day + interval '1 day' GROUP BY 2
    UNION ALL
    SELECT dimension, day, value, count(*) FILTER (WHERE status <> 'spam'), count(*) FILTER (WHERE status = 'spam')
    FROM unnest(days) AS day
    JOIN public.lead_dimension ON created_at_utc >= day AND created_at_utc < day + interval '1 day' GROUP BY 1, 2, 3;
    UPDATE public.lead_summary_state SET covered_until = today, read_until = now();
    RETURN coalesce(cardinality(days), 0);
END $$;
