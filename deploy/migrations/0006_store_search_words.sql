-- A search compares the words of each lead that an index brings: kept in the row, they are not taken apart anew each
-- time. Derived, so an edit and an erasure change them with their fields. This writes lead_inbox anew: a minute or
-- more for a million leads, and the indexes that lists are read from want a VACUUM afterwards (docs/admin-at-scale.md).

SET LOCAL maintenance_work_mem = '256MB';
DROP INDEX lead_inbox_words, lead_inbox_email;
ALTER TABLE lead_inbox
    ADD COLUMN words tsvector GENERATED ALWAYS AS (lead_words(email, name, company)) STORED;
-- New leads stand in a list before they come into the index; each search reads that list whole, so it is kept short.
CREATE INDEX lead_inbox_words ON lead_inbox USING gin (words) WITH (gin_pending_list_limit = 512);  -- prefix search
CREATE INDEX lead_inbox_email ON lead_inbox (lower(email));  -- a person's leads, however the address is written
-- A search goes by how many leads a word is likely to have: more words are known with their numbers.
ALTER TABLE lead_inbox ALTER COLUMN words SET STATISTICS 1000;
ANALYZE lead_inbox;
