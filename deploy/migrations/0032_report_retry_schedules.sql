-- After which waits each stage retries: written by the processes that retry, so that the admin service shows what they
-- really do, and not the settings of its own process.
CREATE TABLE retry_schedule (
    stage         text NOT NULL,
    work          text NOT NULL,               -- records: the stage's rows of replay_queue; deliveries: webhook_delivery
    waits_seconds double precision[] NOT NULL, -- before the first retry, the second, and so on
    jitter        double precision NOT NULL,   -- each wait is up to this share longer
    cron          text,                        -- retries are sent at these times; null: as soon as they are due
    reported_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stage, work)
);
