-- The queries of views.py: saved views of the list of leads.

-- name: lock_views!
-- Let nobody else write views until this transaction ends, so that the checks of a new name stay true. Readers do not wait.
LOCK TABLE lead_view IN SHARE ROW EXCLUSIVE MODE;

-- name: list_views
-- An actor's own views and the team's.
SELECT id, author, shared, name, conditions::text AS conditions, created_at, updated_at FROM lead_view
WHERE NOT shared AND author = :actor OR shared
ORDER BY shared, lower(name);

-- name: add_view^
-- Save a view.
INSERT INTO lead_view (id, author, shared, name, conditions)
VALUES (:id, :author, :shared, :name, :conditions::text::jsonb)
RETURNING id, author, shared, name, conditions::text AS conditions, created_at, updated_at;

-- name: edit_view^
-- Replace the name, the filters and the order of a view.
UPDATE lead_view SET name = :name, conditions = :conditions::text::jsonb, updated_at = now() WHERE id = :id
RETURNING id, author, shared, name, conditions::text AS conditions, created_at, updated_at;

-- name: delete_view!
-- Delete a view.
DELETE FROM lead_view WHERE id = :id;
