-- The queries of notes.py: the notes on a lead. Every writer has locked the lead.

-- name: list_notes
-- The notes on a lead, newest first.
SELECT id, author, body AS text, created_at, updated_at FROM lead_note
WHERE lead_id = :lead_id ORDER BY created_at DESC, id DESC;

-- name: count_notes$
-- How many notes a lead has.
SELECT count(*) FROM lead_note WHERE lead_id = :lead_id;

-- name: get_note^
-- One note on a lead.
SELECT id, author, body AS text, created_at, updated_at FROM lead_note WHERE id = :id AND lead_id = :lead_id;

-- name: add_note^
-- Write a note.
INSERT INTO lead_note (id, lead_id, author, body) VALUES (:id, :lead_id, :author, :body)
RETURNING id, author, body AS text, created_at, updated_at;

-- name: edit_note^
-- Change the text of a note.
UPDATE lead_note SET body = :body, updated_at = now() WHERE id = :id
RETURNING id, author, body AS text, created_at, updated_at;

-- name: delete_note!
-- Delete a note for good, because its text is personal data.
DELETE FROM lead_note WHERE id = :id;
