-- The sealed audit log (docs/decisions/0071): a Merkle tree over the entries of audit_log, and its signed checkpoints.

-- The tiles of the tree. Level 0 has the hashes of entries, in the order in which they were sealed: that of their ids. Each
-- higher level has the roots of full tiles of the level below.
CREATE TABLE audit_tile (
    level     smallint NOT NULL,
    tile      bigint NOT NULL,
    hashes    bytea NOT NULL,
    entry_ids bigint[] NOT NULL DEFAULT '{}',  -- at level 0: the id of each entry
    PRIMARY KEY (level, tile),
    CONSTRAINT tile_has_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    CONSTRAINT leaves_have_entries CHECK (cardinality(entry_ids) = CASE WHEN level = 0 THEN octet_length(hashes) / 32 ELSE 0 END)
);
ALTER TABLE audit_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes cannot be compressed
CREATE INDEX audit_tile_entry ON audit_tile ((entry_ids[1])) WHERE level = 0;  -- which tile has an entry?

-- What was signed. `origin` is the name of the log and of its key.
CREATE TABLE audit_checkpoint (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin     text NOT NULL,
    size       bigint NOT NULL,
    note       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT size_is_signed_once UNIQUE (origin, size)
);

-- A tile only grows. Whoever may do more than the services' role can remove the triggers: the signatures reveal it.
CREATE FUNCTION refuse_tile_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.level, NEW.tile) = (OLD.level, OLD.tile)
       AND substring(NEW.hashes FROM 1 FOR octet_length(OLD.hashes)) = OLD.hashes
       AND NEW.entry_ids[1:cardinality(OLD.entry_ids)] = OLD.entry_ids THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a tile only grows' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION refuse_seal_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_tile_only_grows BEFORE UPDATE ON audit_tile FOR EACH ROW EXECUTE FUNCTION refuse_tile_change();
CREATE TRIGGER audit_tile_is_append_only
    BEFORE DELETE OR TRUNCATE ON audit_tile FOR EACH STATEMENT EXECUTE FUNCTION refuse_seal_change();
CREATE TRIGGER audit_checkpoint_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION refuse_seal_change();
ALTER TABLE audit_tile ENABLE ALWAYS TRIGGER audit_tile_only_grows;
ALTER TABLE audit_tile ENABLE ALWAYS TRIGGER audit_tile_is_append_only;
ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_is_append_only;
