-- Which rows are to be filled? Without this index, each batch would read all rows that are done.
CREATE INDEX CONCURRENTLY IF NOT EXISTS lead_inbox_trial_missing ON lead_inbox (id) WHERE trial IS NULL;
-- repeat
UPDATE lead_inbox SET trial = upper(locale) WHERE id IN
    (SELECT id FROM lead_inbox WHERE trial IS NULL ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED);
DROP INDEX CONCURRENTLY IF EXISTS lead_inbox_trial_missing;
ALTER TABLE lead_inbox VALIDATE CONSTRAINT trial_is_short;
CREATE INDEX CONCURRENTLY IF NOT EXISTS lead_inbox_trial ON lead_inbox (trial, created_at_utc DESC);
