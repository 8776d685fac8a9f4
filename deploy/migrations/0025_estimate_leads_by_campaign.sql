-- How frequent the values are: the planner takes no statistics from partial indexes (0018, 0024). Without them it expects each
-- value in one lead of 200, so it chooses slow plans for frequent values, and the estimate of a total is too low.
CREATE STATISTICS lead_inbox_sources ON (source ->> 'utm_source') FROM lead_inbox;
CREATE STATISTICS lead_inbox_first_sources ON (coalesce(source ->> 'first_utm_source', source ->> 'utm_source')) FROM lead_inbox;
CREATE STATISTICS lead_inbox_campaigns ON (source ->> 'utm_campaign') FROM lead_inbox;
CREATE STATISTICS lead_inbox_landing_pages
    ON (left(split_part(split_part(source ->> 'landing_page', '?', 1), '#', 1), 200)) FROM lead_inbox;
