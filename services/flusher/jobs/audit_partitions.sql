-- The query of audit_partitions.py.

-- name: create_partitions$
-- Create what is missing of two empty partitions, with the owner's rights. Returns the names of the new ones.
SELECT create_audit_partitions();
