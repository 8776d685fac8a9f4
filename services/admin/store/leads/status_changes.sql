-- The query of status_changes.py.

-- name: set_statuses
UPDATE lead_inbox SET status = :status, updated_at = now() WHERE id = ANY(:ids::uuid[]) RETURNING id, updated_at;
