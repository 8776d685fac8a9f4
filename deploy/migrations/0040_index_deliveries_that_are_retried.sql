-- The page of destinations counts the deliveries that failed and have retries left.
CREATE INDEX webhook_delivery_retrying ON webhook_delivery (destination) WHERE state = 'failed';
