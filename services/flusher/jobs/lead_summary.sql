-- name: refresh_lead_summary$
-- Count the days that changed, with the owner's rights. Returns how many.
SELECT refresh_lead_summary();
