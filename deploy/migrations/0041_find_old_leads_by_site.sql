-- Each site may have its own retention period. The daily job reads, for each site, what is older than that period.

-- The leads of a site that are erased already are passed over within the index.
DROP INDEX lead_inbox_site;
CREATE INDEX lead_inbox_site ON lead_inbox (site, created_at_utc DESC, id DESC) INCLUDE (status);
-- The queued records that still have their bytes, oldest first.
CREATE INDEX replay_queue_records ON replay_queue (first_failed_at, id)
    WHERE payload IS NOT NULL OR original_payload IS NOT NULL;

-- The site of a queued record: of a lead that a website queued (origin site:NAME) or a form builder sent (hook:NAME), and
-- else the field `site` of the record. Null if the record cannot be decoded. Topics have no colon in their names.
CREATE FUNCTION public.record_site(origin text, record bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE COST 1000
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF origin ~ '^(site|hook):' THEN
        RETURN substr(origin, 6);
    END IF;
    RETURN nullif(convert_from(record, 'UTF8')::json ->> 'site', '');
EXCEPTION WHEN OTHERS THEN  -- not UTF-8, or no JSON object
    RETURN NULL;
END $$;
