-- The list of leads by the source of the first visit, campaign and landing page: the values of the view lead_dimension.
CREATE INDEX lead_inbox_first_source
    ON lead_inbox ((coalesce(source ->> 'first_utm_source', source ->> 'utm_source')), created_at_utc DESC, id DESC)
    WHERE coalesce(source ->> 'first_utm_source', source ->> 'utm_source') IS NOT NULL;
CREATE INDEX lead_inbox_campaign ON lead_inbox ((source ->> 'utm_campaign'), created_at_utc DESC, id DESC)
    WHERE source ->> 'utm_campaign' IS NOT NULL;
CREATE INDEX lead_inbox_landing_page
    ON lead_inbox ((left(split_part(split_part(source ->> 'landing_page', '?', 1), '#', 1), 200)), created_at_utc DESC, id DESC)
    WHERE left(split_part(split_part(source ->> 'landing_page', '?', 1), '#', 1), 200) IS NOT NULL;
