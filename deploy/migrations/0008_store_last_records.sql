-- The record at next_offset - 1, by its timestamp and a checksum of its key. Another record at that offset means
-- that the log lost its tail, or is another log: the offsets of the ledger then say nothing about it.
ALTER TABLE partition_ledger ADD COLUMN last_record text;
