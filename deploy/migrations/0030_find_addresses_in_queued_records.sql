-- A person's page lists the other requests with the same address, also those that wait in the queue. Without an index, every
-- record of the queue was searched: 220 ms for 50,000 rows. The index has hashes, because an address in a malformed record may be
-- longer than an index entry.
CREATE FUNCTION public.record_address_hashes(record bytea) RETURNS bigint[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT ARRAY(SELECT hashtextextended(address, 0) FROM unnest(public.record_addresses(record)) AS address)';

CREATE INDEX replay_queue_addresses ON replay_queue USING gin (record_address_hashes(payload))
    WHERE payload IS NOT NULL;
CREATE INDEX replay_queue_original_addresses ON replay_queue USING gin (record_address_hashes(original_payload))
    WHERE original_payload IS NOT NULL;
