-- Welcomes are counted per mailbox and per site; a mail whose queue row is dead is dead itself.

-- The address as its mail server understands it (case, +tag, dots of Gmail): what welcomes to one person are counted
-- by. Personal data like the recipient, and gone with it.
ALTER TABLE email_delivery ADD COLUMN mailbox text;
-- What welcomes of one site in an hour are counted by; null in rows from before this migration.
ALTER TABLE email_delivery ADD COLUMN site text;
ALTER TABLE email_delivery ADD COLUMN lead_received_at timestamptz;

CREATE FUNCTION erase_mailbox() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.mailbox := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER email_delivery_erases_mailbox BEFORE UPDATE OF recipient ON email_delivery
    FOR EACH ROW WHEN (NEW.recipient IS NULL AND NEW.mailbox IS NOT NULL) EXECUTE FUNCTION erase_mailbox();

UPDATE email_delivery SET mailbox = regexp_replace(lower(recipient), '\+[^@]*@', '@')
WHERE kind = 'welcome' AND created_at > now() - interval '24 hours';

CREATE INDEX email_delivery_mailbox ON email_delivery (mailbox, created_at)
    WHERE kind = 'welcome';                                          -- welcomes to one mailbox in a day
CREATE INDEX email_delivery_site ON email_delivery (site, lead_received_at)
    WHERE kind = 'welcome' AND state <> 'suppressed';                -- welcomes of one site in an hour

-- Until now the flusher left the mail `waiting` when the third retry had failed.
UPDATE email_delivery AS mail
SET state = 'dead', updated_at = now()
FROM replay_queue AS item
WHERE mail.state = 'waiting' AND item.state = 'dead' AND item.stage = 'notifier' AND NOT item.by_origin
  AND item.lead_id = mail.lead_id AND item.kind = mail.kind;
