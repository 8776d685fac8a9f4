-- Expand: a column, and a rule for new rows that old ones do not meet yet.
ALTER TABLE lead_inbox ADD COLUMN IF NOT EXISTS trial text;
ALTER TABLE lead_inbox ADD CONSTRAINT trial_is_short CHECK (length(trial) < 100) NOT VALID;
CREATE TABLE trial_note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id uuid NOT NULL, note text NOT NULL);
