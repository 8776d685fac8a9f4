-- The page of a bulk change says why its next leads wait, while `retry_at` is set: a lead that somebody has locked, or a database
-- that refuses each of them.
ALTER TABLE bulk_change ADD COLUMN retry_reason text;
