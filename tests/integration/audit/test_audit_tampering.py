"""A superuser with the triggers off changes the log in many ways: both verifiers find each."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidSignature

from deploy.cli.audit.files import AuditFileError
from runtime.database.sealed_log_check import SealedLogCheck
from runtime.settings import Postgres
from runtime.transparency_log.checkpoint import open_checkpoint
from runtime.transparency_log.merkle_tree import hash_leaf
from tests.support.sealed_log import PUBLIC_KEY, add_entries, document_verifier, export_to, seal

CHANGES: Final = 60  # of changing the entries; each takes some 30 ms
COLUMNS: Final = {
    "event_id": "gen_random_uuid()",
    "event": "event || '.'",
    "actor": "actor || ' '",
    "status_code": "coalesce(status_code, 0) + 1",
    "details_json": "jsonb_set(details_json, '{ratio}', '0.10')",
    "lead_id": "NULL",
    "request_id": "coalesce(request_id, '') || 'x'",
    "created_at_utc": "created_at_utc + interval '1 microsecond'",
}


class Rollback(Exception):
    pass


async def sealed_log(postgres: Postgres, db: Any) -> list[int]:
    """Seal 300 entries with gaps between their ids, in two steps. Return the ids."""
    for _ in range(3):
        await add_entries(db, 90)
        with suppress(Rollback):
            async with db.transaction():
                await add_entries(db, 5)
                raise Rollback
        await seal(postgres)
    await add_entries(db, 30)
    await seal(postgres)
    rows = await db.fetch("SELECT id FROM audit_log ORDER BY id")
    return [row["id"] for row in rows]


async def copy_into(db: Any, source: int, target: int) -> None:
    await db.execute(
        "INSERT INTO audit_log (id, event_id, event, actor, status_code, details_json, lead_id, request_id,"
        " created_at_utc) OVERRIDING SYSTEM VALUE"
        " SELECT $2::bigint, gen_random_uuid(), event, actor, status_code, details_json, lead_id, request_id,"
        " created_at_utc FROM audit_log WHERE id = $1",
        source,
        target,
    )


async def tamper(db: Any, ids: list[int], chance: random.Random) -> str:
    """Alter, delete, insert, reorder, truncate or renumber. Return what was done."""
    one, other = chance.sample(ids, 2)
    free = sorted(set(range(1, ids[-1])) - set(ids))
    match chance.randrange(7):
        case 0 | 1:
            column = chance.choice(list(COLUMNS))
            await db.execute(f"UPDATE audit_log SET {column} = {COLUMNS[column]} WHERE id = $1", one)
            return f"altered {column} of {one}"
        case 2:
            await db.execute("DELETE FROM audit_log WHERE id = $1", one)
            return f"deleted {one}"
        case 3:
            target = chance.choice([*free, -1, 0])
            await copy_into(db, one, target)
            return f"inserted {target}"
        case 4:
            await db.execute("UPDATE audit_log SET id = -id WHERE id = ANY($1)", [one, other])
            await db.execute("UPDATE audit_log SET id = $2 WHERE id = -$1::bigint", one, other)
            await db.execute("UPDATE audit_log SET id = $1 WHERE id = -$2::bigint", one, other)
            return f"swapped {one} and {other}"
        case 5:
            last = chance.choice(ids[:-1])
            await db.execute("DELETE FROM audit_log WHERE id > $1", last)
            return f"truncated after {last}"
        case _:
            await db.execute("UPDATE audit_log SET id = id + 100000 WHERE id >= $1", one)
            return f"renumbered from {one}"


async def hide_in_tiles(db: Any, ids: list[int]) -> None:
    """Write the hashes of the entries as they are now into the tiles, as a superuser may."""
    rows = await db.fetch(
        "SELECT id, row_to_json(entry)::text AS leaf FROM (SELECT id, event_id, event, actor, status_code,"
        " details_json, lead_id, request_id, created_at_utc AT TIME ZONE 'UTC' AS created_at_utc"
        " FROM audit_log ORDER BY id) AS entry"
    )
    await db.execute("DELETE FROM audit_tile WHERE level = 0")
    for tile, first in enumerate(range(0, len(rows), 256)):
        part = rows[first : first + 256]
        hashes = b"".join(hash_leaf(row["leaf"].encode()) for row in part)
        await db.execute(
            "INSERT INTO audit_tile (level, tile, hashes, entry_ids) VALUES (0, $1, $2, $3)",
            tile,
            hashes,
            [row["id"] for row in part],
        )


async def find(db: Any, change: Callable[[], Awaitable[str]], path: Path) -> tuple[str, int, bool]:
    """Return the change, what our check counts, and whether the document's program refuses the export."""
    with suppress(Rollback):
        async with db.transaction():
            for table in ("audit_log", "audit_tile", "audit_checkpoint"):
                await db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await db.execute("ALTER TABLE audit_log ALTER COLUMN id SET GENERATED BY DEFAULT")
            what = await change()
            findings = await SealedLogCheck(db, [PUBLIC_KEY]).run()
            try:
                document_verifier()(await export_to(path, db), str(PUBLIC_KEY))
                refused = False
            except (AuditFileError, ValueError, InvalidSignature):
                refused = True
            raise Rollback
    return what, findings.count, refused


@pytest.mark.parametrize("hidden", [False, True], ids=["entries", "entries and tiles"])
async def test_every_change_of_entries_is_found_by_both_verifiers(
    postgres: Postgres, db: Any, tmp_path: Path, *, hidden: bool
) -> None:
    ids, chance = await sealed_log(postgres, db), random.Random(20)

    async def change() -> str:
        what = await tamper(db, ids, chance)
        if hidden:
            await hide_in_tiles(db, ids)
        return what

    for _ in range(CHANGES):
        what, count, refused = await find(db, change, tmp_path / "log")
        assert (count > 0, refused) == (True, True), what

    async def nothing() -> str:
        return "nothing"

    assert await find(db, nothing, tmp_path / "log") == ("nothing", 0, False)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_tile SET hashes = overlay(hashes PLACING '\\x00' FROM 77 FOR 1) WHERE tile = 1",
        "UPDATE audit_tile SET hashes = overlay(hashes PLACING '\\x00' FROM 7 FOR 1) WHERE level = 1",
        "UPDATE audit_tile SET entry_ids = entry_ids[2:] || 999999::bigint WHERE level = 0 AND tile = 1",
        "DELETE FROM audit_tile WHERE level = 0 AND tile = 0",
        "DELETE FROM audit_tile WHERE level = 0 AND tile = 1",
        "DELETE FROM audit_tile WHERE level = 1",
        "DELETE FROM audit_tile",
        "INSERT INTO audit_tile (level, tile, hashes) VALUES (2, 0, sha256(''))",
        "UPDATE audit_checkpoint SET note = replace(note, E'\\n300\\n', E'\\n299\\n')",
        "UPDATE audit_checkpoint SET note = replace(note, 'audit.example', 'other.example') WHERE number = 2",
        "UPDATE audit_checkpoint SET size = 299 WHERE size = 300",
        "DELETE FROM audit_checkpoint WHERE size = 300",
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_checkpoint SET number = -number",
        "UPDATE audit_checkpoint SET number = -1 WHERE size = 180",
        "INSERT INTO audit_checkpoint (number, origin, size, note) VALUES (-1, 'audit.example.com', 7, 'x')",
        "INSERT INTO audit_tile (level, tile, hashes, entry_ids) VALUES (0, -1, sha256(''), '{7}')",
        "INSERT INTO audit_tile (level, tile, hashes, entry_ids) VALUES (0, 5, sha256(''), '{9999999}')",
        "INSERT INTO audit_tile (level, tile, hashes) VALUES (7, 3, sha256(''))",
        "UPDATE audit_tile SET hashes = '' WHERE tile = 1",
        "UPDATE audit_tile SET entry_ids = '{}' WHERE tile = 1",
        "UPDATE audit_tile SET entry_ids = array_fill(NULL::bigint, ARRAY[44]) WHERE tile = 1",
        "UPDATE audit_tile SET hashes = hashes || '\\x00' WHERE tile = 1",
        "UPDATE audit_tile SET hashes = hashes || hashes, entry_ids = entry_ids || entry_ids WHERE tile = 0",
    ],
)
async def test_every_change_of_the_seal_itself_is_found(
    postgres: Postgres, db: Any, tmp_path: Path, statement: str
) -> None:
    await sealed_log(postgres, db)

    async def change() -> str:
        if "number" in statement:
            await db.execute("ALTER TABLE audit_checkpoint ALTER COLUMN number SET GENERATED BY DEFAULT")
        for constraint in ("tile_has_hashes", "leaves_have_entries"):
            await db.execute(f"ALTER TABLE audit_tile DROP CONSTRAINT {constraint}")
        await db.execute(statement)
        return statement

    what, count, _ = await find(db, change, tmp_path / "log")
    assert count, what


async def test_a_log_set_back_is_found_with_a_checkpoint_from_elsewhere(
    postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    await sealed_log(postgres, db)
    note = await db.fetchval("SELECT note FROM audit_checkpoint WHERE size = 300")
    known = open_checkpoint(note, [PUBLIC_KEY])
    for table in ("audit_log", "audit_tile", "audit_checkpoint"):
        await db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await db.execute("DELETE FROM audit_checkpoint WHERE size > 90")
    await db.execute("DELETE FROM audit_tile WHERE tile > 0 OR level > 0")
    await db.execute(
        "UPDATE audit_tile SET hashes = substring(hashes FROM 1 FOR 2880), entry_ids = entry_ids[1:90]"
    )
    await db.execute("DELETE FROM audit_log WHERE id NOT IN (SELECT id FROM audit_log ORDER BY id LIMIT 90)")
    for checkpoints, count in (([], 0), ([known], 1)):
        async with db.transaction():
            assert (await SealedLogCheck(db, [PUBLIC_KEY], checkpoints).run()).count == count
    log = await export_to(tmp_path / "log", db)
    with pytest.raises(ValueError, match="does not begin with the earlier"):
        document_verifier()(log, str(PUBLIC_KEY), note)
