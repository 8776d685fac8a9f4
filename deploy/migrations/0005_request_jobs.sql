-- An admin's flush wants the websites' queues pulled now, and there may be no row that says so.
ALTER TABLE scheduled_job ADD COLUMN requested_at timestamptz;
