-- The trace of the record that an event was made from (W3C Trace Context): its deliveries continue it. The service
-- checks the value too. NOT VALID: the rows that exist have null, so the table need not be read.
ALTER TABLE webhook_event ADD COLUMN traceparent text;
ALTER TABLE webhook_event ADD CONSTRAINT traceparent_is_valid
    CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$') NOT VALID;
