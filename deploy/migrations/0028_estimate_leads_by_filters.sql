-- How often the values of these columns meet. The planner multiplies the frequencies of two filters otherwise: it expects many leads
-- where there are none (new leads with an assignee), reads an index to its end to find them, and the estimate of a total is wrong.
CREATE STATISTICS lead_inbox_filters (mcv) ON status, assignee, site FROM lead_inbox;
ALTER STATISTICS lead_inbox_filters SET STATISTICS 1000;
