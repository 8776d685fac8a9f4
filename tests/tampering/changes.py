"""What a superuser does to a sealed log: each function makes one change and returns what it was.

What no verifier can see, as docs/audit.md says, is left out: a checkpoint between two others that is deleted,
or has another time.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from runtime.transparency_log.checkpoint import Checkpoint
from runtime.transparency_log.merkle_tree import GrowingTree, hash_leaf
from runtime.transparency_log.signed_note import SigningKey
from runtime.transparency_log.tiles import append_leaves
from tests.support.sealed_log import KEY
from tests.tampering.log import ENTRIES, SealedLog

Change: TypeAlias = Callable[[Any, SealedLog, random.Random], Awaitable[str]]
COLUMNS: Final = {
    "event_id": "gen_random_uuid()",
    "event": "event || '.'",
    "actor": "actor || ' '",
    "status_code": "coalesce(status_code, 0) + 1",
    "details_json": "jsonb_set(details_json, '{ratio}', '0.10')",
    "details_json ": 'details_json || \'{"by": "somebody"}\'',
    "lead_id": "gen_random_uuid()",
    "lead_id ": "NULL",
    "request_id": "coalesce(request_id, '') || 'x'",
    "created_at_utc": "created_at_utc + interval '1 microsecond'",
    "created_at_utc ": "created_at_utc - interval '1 day'",
}
COPIED: Final = "event, actor, status_code, details_json, lead_id, request_id, created_at_utc"
LEAVES: Final = (
    "SELECT id, row_to_json(entry)::text AS leaf FROM (SELECT id, event_id, event, actor, status_code,"
    " details_json, lead_id, request_id, created_at_utc AT TIME ZONE 'UTC' AS created_at_utc"
    " FROM audit_log ORDER BY id) AS entry"
)


async def alter(db: Any, log: SealedLog, chance: random.Random) -> str:
    some, column = chance.sample(log.ids, chance.choice((1, 1, 1, 2, 20))), chance.choice(list(COLUMNS))
    await db.execute(f"UPDATE audit_log SET {column} = {COLUMNS[column]} WHERE id = ANY($1)", some)
    return f"altered {column} of {some}"


async def delete(db: Any, log: SealedLog, chance: random.Random) -> str:
    some = chance.sample(log.ids, chance.choice((1, 1, 1, 2, 20)))
    await db.execute("DELETE FROM audit_log WHERE id = ANY($1)", some)
    return f"deleted {some}"


async def insert(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Insert a copy of an entry into a gap, or before all."""
    gaps = sorted(set(range(log.ids[0], log.ids[-1])) - set(log.ids))
    source, target = chance.choice(log.ids), chance.choice([*gaps, 0, -1, -5])
    await db.execute(
        f"INSERT INTO audit_log (id, event_id, {COPIED}) SELECT $2::bigint, gen_random_uuid(), {COPIED}"
        " FROM audit_log WHERE id = $1 ON CONFLICT DO NOTHING",
        source,
        target,
    )
    return f"inserted {target}, a copy of {source}"


async def reorder(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Let 2 to 5 entries exchange their ids in a circle."""
    some = chance.sample(log.ids, chance.randint(2, 5))
    await db.execute("UPDATE audit_log SET id = -id - 1000 WHERE id = ANY($1)", some)
    for one, other in zip(some, [*some[1:], some[0]], strict=True):
        await db.execute("UPDATE audit_log SET id = $2 WHERE id = -$1::bigint - 1000", one, other)
    return f"reordered {some}"


async def truncate(db: Any, log: SealedLog, chance: random.Random) -> str:
    at = chance.choice(log.ids[1:])
    what = chance.choice((f"DELETE FROM audit_log WHERE id >= {at}", f"DELETE FROM audit_log WHERE id < {at}",
                          "TRUNCATE audit_log"))  # fmt: skip
    await db.execute(what)
    return what


async def renumber(db: Any, log: SealedLog, chance: random.Random) -> str:
    at, by = chance.choice(log.ids), chance.choice((1000, 100_000))
    what = chance.choice((f"id + {by} WHERE id >= {at}", f"id - {by} WHERE id <= {at}"))
    await db.execute(f"UPDATE audit_log SET id = {what}")
    return f"renumbered {what}"


async def change_tile(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Change hashes or ids of a tile, also of the one above the leaves."""
    level, tile = chance.choice(((0, 0), (0, 1), (1, 0)))
    width = {(0, 0): 256, (0, 1): ENTRIES - 256, (1, 0): 1}[level, tile]
    byte, one, other = chance.randrange(width * 32), chance.randint(1, width), chance.randint(1, width)
    swapped = (
        f"overlay(overlay(hashes PLACING substring(hashes FROM {one * 32 - 31} FOR 32)"
        f" FROM {other * 32 - 31} FOR 32) PLACING substring(hashes FROM {other * 32 - 31} FOR 32)"
        f" FROM {one * 32 - 31} FOR 32)"
    )
    changes = [
        f"hashes = set_byte(hashes, {byte}, get_byte(hashes, {byte}) # {chance.randint(1, 255)})",
        f"hashes = {swapped}",
        f"hashes = substring(hashes FROM 1 FOR {one * 32 - 32})",
        f"hashes = hashes || sha256('{one}')",
        "hashes = hashes || '\\x00'",
        f"tile = tile + {chance.choice((1, 2, -1, 7))}",
        f"level = level + {chance.choice((2, 3, -1))}",
        f"entry_ids = entry_ids || {chance.choice((5, 10_000))}::bigint",
    ]
    if level == 0:
        changes += [
            f"entry_ids[{one}] = entry_ids[{other}]",
            f"entry_ids[{one}] = {chance.choice((-5, 0, 100_000))}",
            f"entry_ids[{one}] = NULL",
            "entry_ids = entry_ids[2:], hashes = substring(hashes FROM 33)",
            f"entry_ids = entry_ids[:{one - 1}], hashes = substring(hashes FROM 1 FOR {one * 32 - 32})",
        ]
    what = f"{chance.choice(changes)} WHERE level = {level} AND tile = {tile}"
    async with db.transaction():  # the key may be taken
        await db.execute("ALTER TABLE audit_tile DROP CONSTRAINT audit_tile_pkey")
        await db.execute(f"UPDATE audit_tile SET {what}")
    return f"tile: {what}"


async def add_or_remove_tile(db: Any, log: SealedLog, chance: random.Random) -> str:
    level, tile = chance.choice(((0, -1), (0, 2), (0, 9), (1, 1), (1, -3), (2, 0), (5, 5), (-1, 0)))
    what = chance.choice((
        "DELETE FROM audit_tile WHERE level = 0 AND tile = 0", "DELETE FROM audit_tile WHERE tile = 1",
        "DELETE FROM audit_tile WHERE level = 1", "DELETE FROM audit_tile", "TRUNCATE audit_tile",
        f"INSERT INTO audit_tile VALUES ({level}, {tile}, sha256('x'), '{{{tile}}}')",
    ))  # fmt: skip
    await db.execute(what)
    return what


async def change_checkpoint(  # noqa: PLR0911 - one for each change
    db: Any, log: SealedLog, chance: random.Random
) -> str:
    """Change what was signed, sign with another key of the same name, or remove the end."""
    number, other = chance.sample(range(1, len(log.notes) + 1), 2)
    note = log.notes[number - 1]
    at = chance.choice([i for i, each in enumerate(note[:-5]) if each not in "\n— "])
    forged = note[:at] + chr(ord(note[at]) ^ chance.choice((1, 2, 4))) + note[at + 1 :]
    forger = SigningKey.generate(KEY.name)
    tree = GrowingTree()
    for each in range(chance.randint(1, ENTRIES)):
        tree.append(hash_leaf(str(each).encode()))
    other_tree = Checkpoint(KEY.name, tree.size, tree.root()).sign([forger])
    await db.execute("ALTER TABLE audit_checkpoint DROP CONSTRAINT audit_checkpoint_pkey")
    set_note = "UPDATE audit_checkpoint SET note = $1 WHERE number = $2"
    match chance.randrange(9):
        case 0 | 1 | 2:
            await db.execute(set_note, forged, number)
            return f"checkpoint: changed {number} at {at}"
        case 3:
            await db.execute(set_note, log.notes[other - 1], number)
            return f"checkpoint: {number} has the note of {other}"
        case 4:
            await db.execute(set_note, other_tree, number)
            return f"checkpoint: {number} is signed by another key"
        case 5:
            what = chance.choice(("size = size - 1", "size = size + 1", "origin = origin || '/2'"))
            await db.execute(f"UPDATE audit_checkpoint SET {what} WHERE number = $1", number)
            return f"checkpoint: {what} of {number}"
        case 6:
            swap = f"CASE number WHEN {number} THEN {other} ELSE {number} END"
            await db.execute(
                f"UPDATE audit_checkpoint SET number = {swap} WHERE number IN ({number}, {other})"
            )
            return f"checkpoint: {number} and {other} exchanged their numbers"
        case 7:
            end = chance.randint(1, len(log.notes))
            await db.execute("DELETE FROM audit_checkpoint WHERE number >= $1", end)
            return f"checkpoint: deleted from {end} on"
        case _:
            place = chance.choice((-1, 0, 99))
            await db.execute(
                "INSERT INTO audit_checkpoint (number, origin, size, note) VALUES ($1, $2, $3, $4)",
                place, KEY.name, tree.size, other_tree,
            )  # fmt: skip
            return f"checkpoint: inserted at {place}"


async def write_tiles(db: Any) -> None:
    """Write tiles that fit the entries as they are now, at every level."""
    rows = await db.fetch(LEAVES)
    tiles = append_leaves({}, 0, [hash_leaf(row["leaf"].encode()) for row in rows])
    ids = [row["id"] for row in rows]
    await db.execute("DELETE FROM audit_tile")
    await db.executemany(
        "INSERT INTO audit_tile VALUES ($1, $2, $3, $4)",
        [
            (level, tile, hashes, ids[tile * 256 :][:256] if level == 0 else [])
            for (level, tile), hashes in tiles.items()
        ],
    )


ENTRY_CHANGES: Final[tuple[Change, ...]] = (alter, delete, insert, reorder, truncate, renumber)
SEAL_CHANGES: Final[tuple[Change, ...]] = (change_tile, add_or_remove_tile, change_checkpoint)


async def hide(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Change entries, and make the tiles fit them; perhaps the checkpoints too, with another key."""
    what = await chance.choice(ENTRY_CHANGES)(db, log, chance)
    await write_tiles(db)
    if chance.random() < 0.5:
        return f"{what}, with tiles"
    tree, forger = GrowingTree(), SigningKey.generate(KEY.name)
    for row in await db.fetch(LEAVES):
        tree.append(hash_leaf(row["leaf"].encode()))
    note = Checkpoint(KEY.name, tree.size, tree.root()).sign([forger])
    await db.execute("DELETE FROM audit_checkpoint")
    await db.execute(
        "INSERT INTO audit_checkpoint (origin, size, note) VALUES ($1, $2, $3)", KEY.name, tree.size, note
    )
    return f"{what}, with tiles and a checkpoint of another key"


async def set_back(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Restore the state of an earlier checkpoint: all that is there was signed. Only a witness sees it."""
    number = chance.randrange(1, len(log.notes))
    size = int(log.notes[number - 1].splitlines()[1])
    await db.execute("DELETE FROM audit_checkpoint WHERE number > $1", number)
    await db.execute("DELETE FROM audit_log WHERE id > $1", log.ids[size - 1])
    await write_tiles(db)
    return f"set back to {size} entries"


async def several(db: Any, log: SealedLog, chance: random.Random) -> str:
    """Make two or three changes of entries."""
    return ", ".join(
        [await chance.choice(ENTRY_CHANGES)(db, log, chance) for _ in range(chance.randint(2, 3))]
    )


KINDS: Final[tuple[Change, ...]] = (*ENTRY_CHANGES, several, hide, hide, set_back, *SEAL_CHANGES)
