"""Reads the sealed audit log: entries as leaves, the tiles of the tree, and checkpoints (docs/audit.md)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Connection, load_queries
from runtime.transparency_log.merkle_tree import HASH_BYTES
from runtime.transparency_log.tiles import TILE_WIDTH, Position

_SQL: Any = load_queries(Path(__file__).with_name("sealed_log.sql"))
# More than any id.
NO_LIMIT: Final = 2**63 - 1
# An id that nobody gets: an inserted entry may have a negative one.
LOWEST_ID: Final = -(2**63)
CHUNK_TILES: Final = 16


@dataclass(frozen=True)
class SealedPart:
    """How much is sealed. `last_ids` are the ids of the entries in the last tile of the leaves."""

    size: int
    last_ids: Sequence[int]

    @property
    def last_id(self) -> int:
        """The highest id that is sealed. 0: none is."""
        return self.last_ids[-1] if self.last_ids else 0


@dataclass(frozen=True)
class StoredCheckpoint:
    """A row of `audit_checkpoint`. Its signature is not verified."""

    number: int
    origin: str
    size: int
    note: str
    created_at: datetime


@dataclass(frozen=True)
class StoredTile:
    """A tile at level 0: the hashes of its leaves, one after the other, and the ids of their entries."""

    tile: int
    hashes: bytes
    entry_ids: Sequence[int]

    def leaf_hashes(self) -> list[bytes]:
        """Return the hash of each leaf."""
        return [self.hashes[i : i + HASH_BYTES] for i in range(0, len(self.hashes), HASH_BYTES)]

    def is_well_formed(self) -> bool:
        """Return True if there are 1 to 256 hashes and as many ids. The constraints can be dropped."""
        width, rest = divmod(len(self.hashes), HASH_BYTES)
        is_row = rest == 0 and 1 <= width <= TILE_WIDTH
        return (
            is_row and len(self.entry_ids) == width and all(isinstance(each, int) for each in self.entry_ids)
        )


@dataclass(frozen=True)
class Archive:
    """A row of `audit_archive`: what it says about a partition that left the database."""

    name: str
    first_id: int
    last_id: int
    entries: int
    sha256: str


async def read_sealed_part(connection: Connection) -> SealedPart:
    """Return how much is sealed."""
    row = await _SQL.read_last_tile(connection)
    if row is None:
        return SealedPart(0, [])
    return SealedPart(row["tile"] * TILE_WIDTH + len(row["entry_ids"]), row["entry_ids"])


async def read_tiles(connection: Connection, positions: Sequence[Position]) -> dict[Position, bytes]:
    """Return the hashes of the tiles at these positions. A missing tile is left out."""
    levels, tiles = [level for level, _ in positions], [tile for _, tile in positions]
    rows = _SQL.read_tiles(connection, levels=levels, tiles=tiles)
    return {(row["level"], row["tile"]): row["hashes"] async for row in rows}


async def list_leaf_tiles(connection: Connection, first: int, limit: int) -> list[StoredTile]:
    """Return tiles of leaves, from the tile with the index `first` on."""
    rows = _SQL.list_tiles(connection, level=0, first=first, limit=limit)
    return [StoredTile(row["tile"], row["hashes"], row["entry_ids"]) async for row in rows]


async def list_upper_tiles(connection: Connection, level: int, first: int, limit: int) -> list[StoredTile]:
    """Return tiles of a level above the leaves, from the tile with the index `first` on. They have no ids."""
    rows = _SQL.list_tiles(connection, level=level, first=first, limit=limit)
    return [StoredTile(row["tile"], row["hashes"], row["entry_ids"]) async for row in rows]


async def read_leaves(
    connection: Connection, after: int, last: int = NO_LIMIT, limit: int = NO_LIMIT
) -> list[tuple[int, bytes]]:
    """Return the id and the bytes of each entry with an id above `after` and at most `last`, by id."""
    rows = _SQL.read_leaves(connection, after=after, last=last, limit=limit)
    return [(row["id"], row["leaf"].encode()) async for row in rows]


async def read_leaf_hashes(
    connection: Connection, after: int, last: int, limit: int
) -> list[tuple[int, bytes]]:
    """Return the id and the leaf hash of each entry with an id above `after` and at most `last`, by id.

    The database hashes the entries, so that large ones need no memory here.
    """
    rows = _SQL.read_leaf_hashes(connection, after=after, last=last, limit=limit)
    return [(row["id"], row["leaf_hash"]) async for row in rows]


async def find_leaf_index(connection: Connection, entry_id: int) -> int | None:
    """Return the index of an entry's leaf. None: it is not sealed."""
    index: int | None = await _SQL.find_leaf_index(connection, id=entry_id)
    return index


async def count_tiles(connection: Connection) -> int:
    """Return the number of rows of tiles."""
    count: int = await _SQL.count_tiles(connection)
    return count


async def read_last_checkpoint(connection: Connection) -> StoredCheckpoint | None:
    """Return the newest checkpoint, or None if nothing is sealed."""
    row = await _SQL.read_last_checkpoint(connection)
    return StoredCheckpoint(**row) if row else None


async def list_checkpoints(connection: Connection, after: int, limit: int) -> list[StoredCheckpoint]:
    """Return checkpoints with a number above `after`, in the order in which they were signed."""
    rows = _SQL.list_checkpoints(connection, after=after, limit=limit)
    return [StoredCheckpoint(**row) async for row in rows]


async def list_leaf_hashes(
    connection: Connection, after: int, before: int
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the id and the hash of each leaf with an id above `after` and below `before`, in their order."""
    first: int = await _SQL.find_leaf_tile(connection, id=after)
    while chunk := await list_leaf_tiles(connection, first, CHUNK_TILES):
        for tile in chunk:
            for entry_id, leaf_hash in zip(tile.entry_ids, tile.leaf_hashes(), strict=True):
                if entry_id >= before:
                    return
                if entry_id > after:
                    yield entry_id, leaf_hash
        first = chunk[-1].tile + 1


async def hold_partitions(connection: Connection) -> str | None:
    """Let no partition leave the log before the transaction ends. Must be its first statement.

    Returns the name of a partition that an unfinished archive has detached, or None.
    """
    await _SQL.lock_log(connection)
    name: str | None = await _SQL.find_unfinished_archive(connection)
    return name


async def list_archives(connection: Connection) -> list[Archive]:
    """Return what was archived, oldest first."""
    return [Archive(**row) async for row in _SQL.list_archives(connection)]
