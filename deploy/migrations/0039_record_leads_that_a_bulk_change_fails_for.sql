-- A bulk change whose next leads cannot be changed no longer holds up the newer ones: it is tried three times, then the leads
-- at fault get the result failed.

-- How often the next leads failed in a row. `retry_at` is when they are tried again; those without it come first.
ALTER TABLE bulk_change ADD COLUMN failures integer NOT NULL DEFAULT 0;
ALTER TABLE bulk_change ADD COLUMN retry_at timestamptz;

ALTER TABLE bulk_change_item DROP CONSTRAINT bulk_result_is_known;
ALTER TABLE bulk_change_item ADD CONSTRAINT bulk_result_is_known
    CHECK (result IN ('changed', 'unchanged', 'refused', 'failed')) NOT VALID;
CREATE INDEX bulk_change_item_failed ON bulk_change_item (bulk_id, position) WHERE result = 'failed';  -- the list of them
