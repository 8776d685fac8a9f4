-- A large installation's rows: skewed as real ones are, and the same for the same seed. Superuser's session.

-- name: make_tools!
-- Chance between 0 and 1 of a row and a purpose: a hash, so it does not hang on the order of the plan.
CREATE FUNCTION pg_temp.chance(n bigint, purpose bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(n, purpose) & 2147483647) / 2147483648.0;
CREATE FUNCTION pg_temp.pick(words text[], x float8) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN words[1 + floor(x * cardinality(words))::int];
-- More leads in later years than in earlier ones.
CREATE FUNCTION pg_temp.moment(place float8, ends_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
RETURN ends_at - interval '1096 days' * (1 - power(place, 0.7));
CREATE FUNCTION pg_temp.first_name(x float8) RETURNS text LANGUAGE sql IMMUTABLE RETURN pg_temp.pick(
    string_to_array('maria,anna,peter,thomas,laura,michael,sofia,daniel,julia,david,lena,jonas,emma,paul,sarah,'
    'lukas,nina,felix,clara,simon,eva,martin,lisa,jan,marta,pablo,chiara,luca,marie,pierre,ines,hugo,olga,ivan,'
    'zofia,piotr,amelia,oliver,grace,henry,aisha,omar,yuki,kenji,mei,wei,priya,arjun,fatima,youssef,ingrid,lars,'
    'freya,nils,siobhan,declan,giulia,matteo,camille,antoine', ','), x);
CREATE FUNCTION pg_temp.last_name(x float8) RETURNS text LANGUAGE sql IMMUTABLE RETURN pg_temp.pick(
    string_to_array('mueller,smith,garcia,rossi,martin,schmidt,johnson,fischer,lopez,weber,brown,bernard,wagner,'
    'nowak,becker,russo,hoffmann,jones,perez,schulz,koch,richter,klein,wolf,neumann,silva,santos,costa,dubois,'
    'laurent,leroy,moreau,kowalski,wisniewski,andersson,johansson,hansen,larsen,virtanen,korhonen,novak,horvat,'
    'popescu,ivanova,petrova,tanaka,suzuki,wang,zhang,chen,singh,patel,khan,ahmed,hassan,okafor,mensah,murphy,'
    'kelly,walsh,byrne,macdonald,campbell,stewart,evans,davies,thomas,roberts,wright,walker,hughes,green,hall,'
    'wood,clarke,baker,turner,cooper,ward,parker,collins,bennett,cook,bailey,bell,shaw,fox,gray,stone,marsh', ','), x);
CREATE FUNCTION pg_temp.firm(x float8, y float8) RETURNS text LANGUAGE sql IMMUTABLE
RETURN pg_temp.pick(string_to_array('Nordlicht,Alpina,Vertex,Bluewave,Quantum,Solaris,Evergreen,Ironbridge,Lumen,Harbor,'
    'Meridian,Atlas,Cobalt,Falcon,Orion,Pinnacle,Zenith,Cascade,Ember,Juniper,Krypton,Lotus,Magnolia,Nimbus,Obsidian,'
    'Phoenix,Quartz,Redwood,Sapphire,Titan,Umbra,Valiant,Willow,Xenon,Yarrow,Zephyr,Acme,Borealis,Cypress,Delta', ','), x)
    || pg_temp.pick(string_to_array(' Software, Consulting, Bau, Logistics, Media, Health, Foods, Energy, Design, Partners', ','), y)
    || pg_temp.pick(string_to_array(' GmbH, GmbH, GmbH, Ltd, Inc, AG, SA, BV', ','), x * 37 - floor(x * 37));

-- name: add_leads!
-- Leads number :first to :last of :total. A person is a number too; some write often, most once.
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, phone, company, message, consent,
                        locale, submitted_at, source, spam_reasons, body_sha256, assignee, created_at_utc,
                        stored_at, updated_at)
SELECT md5('lead' || n)::uuid, md5('request' || n), site,
       CASE WHEN status = 'erased' THEN '' ELSE
           first_name || '.' || last_name || CASE WHEN person % 3 > 0 THEN (person % 9973)::text ELSE '' END || '@'
           || CASE WHEN webmail < 0.34 THEN 'gmail.com' WHEN webmail < 0.46 THEN 'outlook.com'
                   WHEN webmail < 0.54 THEN 'gmx.de' WHEN webmail < 0.6 THEN 'yahoo.com'
                   ELSE lower(replace(firm, ' ', '-')) || '.example' END END,
       service, status,
       CASE WHEN status = 'erased' THEN '' ELSE initcap(first_name || ' ' || last_name) END,
       CASE WHEN person % 2 = 0 AND status <> 'erased' THEN '+49 30 ' || 1000000 + person END,
       CASE WHEN webmail >= 0.3 AND status <> 'erased' THEN firm END,
       CASE WHEN status = 'erased' THEN '' ELSE
           left(repeat('We would like to hear what a new site costs and how long it takes. ', 20),
                80 + (pg_temp.chance(n, 21) ^ 3 * 1100)::int) END,
       true, pg_temp.pick('{de,de,en,en,en,fr,es,it}', pg_temp.chance(n, 22)), created - interval '2 seconds',
       jsonb_build_object('page_url', 'https://fast-techservices.example/contact', 'utm_source',
                          pg_temp.pick('{google,newsletter,linkedin,direct}', pg_temp.chance(n, 23)),
                          'utm_campaign', 'campaign ' || floor(pg_temp.chance(n, 25) ^ 3 * 60),
                          'landing_page', 'https://fast-techservices.example/page-' || floor(pg_temp.chance(n, 26) ^ 2 * 80) || '?ref=' || n),
       CASE WHEN status = 'spam' THEN '{honeypot}'::text[] ELSE '{}' END, md5('body' || n) || md5('more' || n),
       CASE WHEN status IN ('contacted', 'won', 'lost') THEN pg_temp.pick('{ann,ann,ann,bob,bob,cem,dora}', moved) END,
       created, created + interval '150 ms', created + (moved * interval '9 days')
FROM (
    SELECT n, person, webmail, moved, firm, first_name, last_name,
           pg_temp.moment((n - pg_temp.chance(n, 3)) / :total::float8, :ends_at::timestamptz) AS created,
           CASE WHEN pg_temp.chance(n, 4) < 0.8 THEN 'default' WHEN pg_temp.chance(n, 4) < 0.95 THEN 'shop'
                ELSE 'careers' END AS site,
           CASE WHEN pg_temp.chance(n, 5) < 0.98 THEN pg_temp.pick('{Web design,Consulting,Hosting,SEO,Web shop,'
                'Maintenance,Mobile app,Branding,Cloud migration,Security audit,Data protection,Training}',
                pg_temp.chance(n, 6) ^ 2.2)
                ELSE 'Other: wish ' || person % 400 END AS service,
           CASE WHEN luck < 0.085 THEN 'spam'
                WHEN n > :total * 0.96 THEN CASE WHEN luck < 0.7 THEN 'received' WHEN luck < 0.9 THEN 'processing'
                                                 ELSE 'contacted' END
                WHEN luck < 0.10 THEN 'erased' WHEN luck < 0.22 THEN 'received' WHEN luck < 0.28 THEN 'processing'
                WHEN luck < 0.60 THEN 'contacted' WHEN luck < 0.75 THEN 'won' ELSE 'lost' END AS status
    FROM (
        SELECT n, person, pg_temp.chance(n, 2) AS luck, pg_temp.chance(n, 24) AS moved,
               pg_temp.chance(person, 12) AS webmail, pg_temp.first_name(pg_temp.chance(person, 13) ^ 1.5) AS first_name,
               pg_temp.last_name(pg_temp.chance(person, 14) ^ 1.5) AS last_name,
               pg_temp.firm(pg_temp.chance(person, 15), pg_temp.chance(person, 16)) AS firm
        FROM (SELECT n, floor(pg_temp.chance(n, 1 + 1000 * :seed::bigint) ^ 1.6 * :total * 0.7)::bigint AS person
              FROM generate_series(:first::bigint, :last::bigint) AS n) AS numbered
    ) AS drawn
) AS made;

-- name: add_mails!
-- The two deliveries of each of these leads.
INSERT INTO email_delivery (lead_id, kind, state, attempts, recipient, message_id, reason, smtp_answer, created_at,
                            updated_at, sent_at, site, outcome_at, failure_group)
SELECT id, kind, state, CASE WHEN state = 'suppressed' THEN 0 ELSE 1 END,
       CASE WHEN status <> 'erased' THEN CASE WHEN kind = 'welcome' THEN email ELSE 'sales@fastcore.example' END END,
       '<' || kind || '.' || id || '@fastcore.example>',
       CASE state WHEN 'suppressed' THEN 'spam' WHEN 'dead' THEN 'smtp 550 5.1.1' WHEN 'waiting' THEN 'smtp 451 4.7.1'
                  WHEN 'unknown' THEN 'no answer after the body' END,
       CASE state WHEN 'sent' THEN '2.0.0 Ok: queued' WHEN 'dead' THEN '5.1.1 No such user' END,
       created_at_utc, created_at_utc + interval '3 seconds',
       CASE WHEN state = 'sent' THEN created_at_utc + interval '3 seconds' END, site,
       CASE WHEN state <> 'suppressed' THEN created_at_utc + interval '3 seconds' END,
       CASE state WHEN 'dead' THEN '550 5.1.1 No such user' WHEN 'waiting' THEN '451 4.7.1 Try again later' END
FROM (SELECT n, md5('lead' || n)::uuid AS id FROM generate_series(:first::bigint, :last::bigint) AS n) AS wanted
JOIN lead_inbox USING (id)
CROSS JOIN unnest('{welcome,admin_alert}'::text[]) AS kind
CROSS JOIN LATERAL (SELECT CASE WHEN status = 'spam' THEN 'suppressed'
    WHEN kind = 'welcome' AND pg_temp.chance(n, 31) < 0.012 THEN 'dead'
    WHEN kind = 'welcome' AND pg_temp.chance(n, 31) < 0.013 THEN 'unknown'
    WHEN kind = 'welcome' AND n > :total * 0.998 AND pg_temp.chance(n, 31) < 0.1 THEN 'waiting'
    ELSE 'sent' END AS state) AS outcome
ORDER BY n, kind;

-- name: add_entries!
-- The audit entries of these leads, and of enough rejected requests that there are :wanted entries in total.
WITH lead AS (
    SELECT n, l.id, l.request_id, l.site, l.status, l.created_at_utc AS at, l.updated_at,
           coalesce(l.assignee, pg_temp.pick('{ann,bob,cem,dora,erik}', pg_temp.chance(n, 41))) AS admin
    FROM (SELECT n, md5('lead' || n)::uuid AS id FROM generate_series(:first::bigint, :last::bigint) AS n) AS wanted
    JOIN lead_inbox AS l USING (id)
), entry AS (
    SELECT n, 1 AS part, 'lead.received' AS event, site AS actor, 201 AS code, id, request_id, at,
           '{"spam": false}'::jsonb AS details FROM lead
    UNION ALL
    SELECT n, 2 + (m.kind = 'welcome')::int,
           CASE m.state WHEN 'sent' THEN 'email.sent' WHEN 'suppressed' THEN 'email.suppressed'
                        WHEN 'unknown' THEN 'email.unknown' ELSE 'email.failed' END, 'notifier',
           CASE m.state WHEN 'sent' THEN 250 WHEN 'dead' THEN 550 WHEN 'waiting' THEN 451 END, id, request_id,
           m.updated_at, jsonb_build_object('kind', m.kind, 'attempts', m.attempts)
    FROM lead JOIN email_delivery AS m ON m.lead_id = lead.id
    UNION ALL
    SELECT n, 4 + step, 'lead.status_changed', admin, NULL, id, request_id, at + step * (updated_at - at) / 3,
           jsonb_build_object('from', 'received', 'to', status, 'mails_requested', '[]'::jsonb)
    FROM lead CROSS JOIN generate_series(1, CASE status WHEN 'processing' THEN 1 WHEN 'contacted' THEN 2
                                                        WHEN 'won' THEN 3 WHEN 'lost' THEN 3 ELSE 0 END) AS step
    UNION ALL
    SELECT n, 8, 'lead.erased', admin, NULL, id, request_id, updated_at, '{"reason": "requested by the person"}'
    FROM lead WHERE status = 'erased'
    UNION ALL
    SELECT n, 9 + again, CASE again WHEN 0 THEN 'lead.parked' ELSE 'lead.replayed' END, 'flusher', NULL, id, request_id,
           at + again * interval '5 minutes', '{"stage": "notifier", "kind": "welcome"}'
    FROM lead CROSS JOIN generate_series(0, 1) AS again WHERE n % 20 = 0
)
INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id, created_at_utc)
SELECT md5('entry' || n || '.' || part)::uuid, event, actor, code, details, id, request_id, at FROM (
    SELECT * FROM entry
    UNION ALL
    SELECT n, 20, 'lead.rejected', pg_temp.pick('{default,shop,careers}', pg_temp.chance(n, 42) ^ 2), 422, NULL,
           md5('refused' || n), pg_temp.moment(n / (:total::float8 * 10), :ends_at), '{"problem": "validation"}'
    FROM generate_series(:first::bigint * 10, :first::bigint * 10
                         + greatest(0, :wanted::bigint - (SELECT count(*) FROM entry)) - 1) AS n
) AS audited ORDER BY at;

-- name: add_deliveries!
-- The event of each of these leads, and its delivery to one system. A spam lead has none, an erased one no body.
WITH lead AS (
    SELECT n, l.* FROM (SELECT n, md5('lead' || n)::uuid AS id FROM generate_series(:first::bigint, :last::bigint) AS n) AS wanted
    JOIN lead_inbox AS l USING (id) WHERE l.status <> 'spam'
), event AS (
    INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count, created_at)
    SELECT md5('event' || n)::uuid, 'lead.received', id, site, created_at_utc,
           CASE WHEN status <> 'erased' THEN jsonb_build_object(
               'type', 'lead.received', 'timestamp', created_at_utc, 'data', jsonb_build_object(
                   'id', id, 'site', site, 'email', email, 'name', name, 'phone', phone, 'company', company,
                   'service', service, 'message', message, 'consent', consent, 'locale', locale, 'source', source))::text END,
           1, created_at_utc FROM lead ORDER BY n
    RETURNING id, lead_id, position, created_at
)
INSERT INTO webhook_delivery (event_id, destination, lead_id, position, state, attempts, next_attempt_at, status_code,
                              reason, created_at, updated_at, delivered_at, type)
SELECT id, 'crm', lead_id, position, state, CASE state WHEN 'dead' THEN 10 ELSE 1 END, NULL,
       CASE state WHEN 'dead' THEN 410 ELSE 204 END, CASE state WHEN 'dead' THEN 'destination answered 410' END,
       created_at, created_at + interval '2 seconds',
       CASE WHEN state = 'delivered' THEN created_at + interval '2 seconds' END, 'lead.received'
FROM event CROSS JOIN LATERAL (
    SELECT CASE WHEN pg_temp.chance(position, 61) < 0.003 THEN 'dead' ELSE 'delivered' END AS state) AS outcome;

-- name: add_responses!
-- When the answered leads were answered: minutes to days after they came.
INSERT INTO lead_response (lead_id, received_at, responded_at, decided_at, outcome, assignee)
SELECT id, created_at_utc, created_at_utc + (updated_at - created_at_utc) / 3,
       CASE WHEN status IN ('won', 'lost') THEN updated_at END, CASE WHEN status IN ('won', 'lost') THEN status END, assignee
FROM lead_inbox WHERE status IN ('processing', 'contacted', 'won', 'lost');

-- name: add_queue!
-- One failure of every twentieth lead; a few were no leads at all.
INSERT INTO replay_queue (id, stage, kind, lead_id, state, final, by_origin, reason, error, attempts, next_attempt_at,
                          requested_at, last_sent_at, origin_topic, origin_partition, origin_offset, origin_timestamp,
                          origin_group, record_key, payload, headers, first_failed_at, last_failed_at)
SELECT md5('queue' || n)::uuid, stage, CASE stage WHEN 'persister' THEN 'store' ELSE pg_temp.pick('{welcome,welcome,admin_alert}', luck) END,
       CASE WHEN reason <> 'undecodable' THEN id END, state, state = 'dead', reason IN ('conflict', 'undecodable'), reason,
       CASE stage WHEN 'persister' THEN 'PermanentError' ELSE 'RetryableError' END, CASE state WHEN 'dead' THEN 3 ELSE 1 END,
       CASE WHEN open THEN :ends_at::timestamptz + (luck - 0.5) * interval '1 hour' END, NULL, at + interval '5 minutes',
       'leads.received.v1', n % 6, n, at, 'fastcore.' || stage, convert_to(id::text, 'UTF8'),
       CASE WHEN state <> 'resolved' THEN convert_to(repeat('{"name": "somebody"}', 40), 'UTF8') END,
       '{"content-type": "application/json"}', at, at + (luck * interval '70 minutes')
FROM (
    SELECT n, id, l.created_at_utc AS at, luck, state, state IN ('waiting', 'replaying') AS open,
           CASE WHEN luck < 0.15 THEN 'persister' ELSE 'notifier' END AS stage,
           CASE WHEN luck < 0.05 THEN 'undecodable' WHEN luck < 0.15 THEN 'conflict' ELSE
               'smtp ' || pg_temp.pick('{451 4.7.1,451 4.7.1,550 5.1.1,550 5.1.1,550 5.1.1,552 5.2.2,450 4.2.0,554 5.7.1}',
                                       pg_temp.chance(n, 51)) END AS reason
    FROM (SELECT n, md5('lead' || n)::uuid AS id, pg_temp.chance(n, 52) AS luck,
                 CASE WHEN n > :total * 0.98 AND pg_temp.chance(n, 53) < 0.6 THEN 'waiting'
                      WHEN n > :total * 0.98 AND pg_temp.chance(n, 53) < 0.65 THEN 'replaying'
                      WHEN pg_temp.chance(n, 53) < 0.8 THEN 'resolved' WHEN pg_temp.chance(n, 53) < 0.95 THEN 'dead'
                      ELSE 'archived' END AS state
          FROM generate_series(20, :total::bigint, 20) AS n) AS numbered
    JOIN lead_inbox AS l USING (id)
) AS failed;

-- name: write_books!
-- The pages that such a history leaves: they balance with the tables.
INSERT INTO partition_ledger (stage, topic, partition, base_offset, next_offset, stored, duplicate)
SELECT stage, topic, partition, 0, stored + stored / 100, stored, stored / 100
FROM generate_series(0, 5) AS partition
CROSS JOIN (VALUES ('persister', 'leads.received.v1', (SELECT count(*) FROM lead_inbox)),
                   ('notifier', 'leads.received.v1', (SELECT count(*) FROM lead_inbox)),
                   ('flusher', 'leads.failed.v1', (SELECT count(*) FROM replay_queue))) AS page (stage, topic, rows)
CROSS JOIN LATERAL (SELECT rows / 6 + (partition < rows % 6)::int AS stored) AS share;

-- name: add_jobs!
-- The flusher's jobs, as after a while.
INSERT INTO scheduled_job (name, schedule, runs, last_started_at, last_finished_at, last_outcome, last_duration_ms, next_run_at)
VALUES ('replay', '*/5 * * * *', 210000, now(), now(), 'succeeded', 40, now() + interval '5 minutes');

-- name: add_replay!
-- A replay of all that was ever in the queue, four fifths of it done. (The rows' own states stay as they are.)
WITH replay AS (
    INSERT INTO queue_replay (id, requested_by, filter, per_second, wanted, taken, created_at, last_turn_at)
    SELECT md5('replay')::uuid, 'ann', '{}', 100, count(*), count(*) * 4 / 5, now() - interval '1 hour', now()
    FROM replay_queue
    RETURNING id, taken
)
INSERT INTO queue_replay_item (replay_id, queue_id, turn_at)
SELECT replay.id, q.id, CASE WHEN q.n <= taken THEN now() END
FROM replay CROSS JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM replay_queue) AS q;

-- name: list_indexes
-- The indexes and keys of the large tables, to be made anew after the load: in one go is many times faster.
SELECT conrelid::regclass::text AS table, conname AS name, contype = 'p' AS first,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS make,
       format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop
FROM pg_constraint WHERE contype IN ('p', 'u') AND conrelid = ANY(:tables::text[]::regclass[])
UNION ALL
SELECT indrelid::regclass::text, indexrelid::regclass::text, false, pg_get_indexdef(indexrelid),
       format('DROP INDEX %s', indexrelid::regclass)
FROM pg_index i WHERE indrelid = ANY(:tables::text[]::regclass[])
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
UNION ALL  -- foreign keys need the keys that they refer to
SELECT conrelid::regclass::text, conname, false,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
       format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
FROM pg_constraint WHERE contype = 'f' AND confrelid = ANY(:tables::text[]::regclass[])
ORDER BY 3 DESC, 1, 2;

-- name: list_triggers
-- Triggers that would count or refuse each statement of the load.
SELECT tgrelid::regclass::text AS table, quote_ident(tgname) AS name, tgenabled::text AS enabled FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid = ANY(:tables::text[]::regclass[]) AND tgtype & 4 > 0;

-- name: list_sizes
-- How big it is.
SELECT c.relname AS table, c.reltuples::bigint AS rows, pg_table_size(c.oid) AS bytes,
       pg_indexes_size(c.oid) AS index_bytes
FROM pg_class c WHERE c.oid = ANY(:tables::text[]::regclass[]) ORDER BY bytes DESC;

-- name: sample^
-- Ids and words that the data has: a lead of a while ago, and one that failed.
SELECT l.id AS lead, md5('replay')::uuid AS replay, l.email, l.request_id AS request, q.lead_id AS failed,
       (SELECT max(created_at_utc) FROM lead_inbox) AS now
FROM lead_inbox AS l,
     (SELECT * FROM replay_queue WHERE state = 'dead' AND lead_id IS NOT NULL ORDER BY last_failed_at DESC LIMIT 1) AS q
WHERE l.id = (SELECT id FROM lead_inbox WHERE status = 'won' ORDER BY created_at_utc DESC, id DESC
              OFFSET (SELECT least(5000, count(*) / 2) FROM lead_inbox WHERE status = 'won') LIMIT 1);
