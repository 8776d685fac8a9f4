-- People search a lead by any part of what they know of it. The text that is searched is derived from the lead, so an
-- edit and an erasure change it too. This writes lead_inbox anew (docs/admin-at-scale.md): meanwhile leads wait in Kafka.
-- The index is created by deploy/cli/migrate.py after every run, where the server has pg_trgm.

-- How a text and a search are compared: without case, accents, apostrophes and invisible characters; ß as ss, and so on.
-- Marks of other scripts than Latin, Greek, Cyrillic and Arabic are parts of words and stay. ASCII takes a shorter way.
CREATE FUNCTION public.search_form(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(value) = length(value)
    THEN translate(lower(value), E'ı\n\r\t\'`', 'i   ')  -- ı: what lower makes of I in a Turkish locale
    ELSE replace(replace(replace(replace(
        translate(lower(regexp_replace(
            normalize(regexp_replace(value, '[''`´‘’‛′ʹʻʼʽʾˊ᾿＇｀]', '', 'g'), NFKD),
            '[\u0300-\u036f\u0640\u064b-\u0655\u0670\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufe00-\ufe0f\ufeff]', '', 'g')),
        E'\n\r\t\u2028øłđħıŧς‐‑‒–—―', '    oldhitσ------'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th')
    END;

-- The LIKE patterns of search terms. A term of one or two characters matches the beginnings of words only, because the
-- index finds no shorter parts. A term of which nothing is left becomes null, which matches no lead.
CREATE FUNCTION public.search_patterns(terms text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT CASE WHEN form = '' THEN NULL WHEN length(form) < 3 THEN '% ' ELSE '%' END
                    || regexp_replace(form, '([\\%_])', '\\\1', 'g') || '%'
             FROM (SELECT btrim(public.search_form(term)) AS form FROM unnest(terms) AS term) AS forms);

-- The text that a lead is found by. It begins with a space, so that ' ada' finds the beginning of a word; the phone
-- stands in it as written and as digits, without the (0) that is not dialled from abroad.
CREATE FUNCTION public.lead_search_text(
    name text, email text, company text, phone text, service text, message text, notes text, extra jsonb
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ' ' || public.search_form(
    coalesce(name, '') || ' ' || coalesce(email, '') || ' ' || coalesce(company, '') || ' ' || coalesce(phone, '') || ' '
    || coalesce(service, '') || ' ' || coalesce(message, '') || ' ' || coalesce(notes, '') || ' '
    || coalesce((SELECT string_agg(answer #>> '{}', ' ') FROM jsonb_path_query(extra, '$.**') AS answer
                 WHERE jsonb_typeof(answer) IN ('string', 'number')), ''))
    || ' ' || regexp_replace(translate(replace(normalize(coalesce(phone, ''), NFKD), '(0)', ''),
                                       '٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९', '012345678901234567890123456789'),
                             '[^0-9]', '', 'g');

SET LOCAL maintenance_work_mem = '256MB';
ALTER TABLE lead_inbox
    DROP COLUMN words,
    ADD COLUMN search_text text NOT NULL
        GENERATED ALWAYS AS (lead_search_text(name, email, company, phone, service, message, notes, extra)) STORED;
DROP FUNCTION public.lead_words(text, text, text);
-- The reference in the mails is the end of the lead's id.
CREATE INDEX lead_inbox_reference ON lead_inbox (right(id::text, 8));
-- A search goes by how many leads match: a large sample tells that of rare words too.
ALTER TABLE lead_inbox ALTER COLUMN search_text SET STATISTICS 1000;
ANALYZE lead_inbox;
