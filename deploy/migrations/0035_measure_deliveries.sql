-- What the dashboard shows of a destination: how long it takes to answer, and what became of the last test event.
ALTER TABLE webhook_delivery ADD duration_ms integer;    -- of the last request, until its response was read
ALTER TABLE webhook_destination ADD last_test_id uuid;   -- the event of the last test that an admin sent
