"""Compares the audit log in the database with its tiles and with every checkpoint that was signed.

Entries that were archived are compared if the files of the archives are there, and counted otherwise.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.database.archived_leaves import ArchivedLeaves
from runtime.database.postgres import Connection
from runtime.database.sealed_log import (
    CHUNK_TILES,
    LOWEST_ID,
    StoredCheckpoint,
    StoredTile,
    count_tiles,
    hold_partitions,
    list_archives,
    list_checkpoints,
    list_leaf_tiles,
    list_upper_tiles,
    read_leaves,
)
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import GrowingTree, hash_leaf
from runtime.transparency_log.signed_note import NoteError, VerificationKey
from runtime.transparency_log.tiles import TILE_WIDTH, DamagedTilesError, Position, append_leaves

CHUNK_CHECKPOINTS: Final = 1000
# Further differences are counted.
NAMED_AT_MOST: Final = 20


class ArchiveUnfinishedError(Exception):
    """A partition is between the log and its archive. Its text names the partition."""


@dataclass
class Findings:
    """The result of a comparison. `differences` names the first ones, without data of entries."""

    entries: int = 0
    archived: int = 0
    """How many of the entries are in an archive."""
    checkpoints: int = 0
    count: int = 0
    differences: list[str] = field(default_factory=list)
    last: Checkpoint | None = None
    """The newest checkpoint whose signature and root are right."""

    def add(self, difference: str) -> None:
        """Add a difference."""
        self.count += 1
        if len(self.differences) < NAMED_AT_MOST:
            self.differences.append(difference)


class SealedLogCheck:
    """Compares the log with its seal, in a connection whose transaction sees one snapshot of the database.

    `keys` are the public keys that the log had. `known` are checkpoints from elsewhere, already verified.
    `archived` are the lines of all archives, oldest first, without their line breaks. Without them, archived
    entries are counted and not compared.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Sequence[VerificationKey],
        known: Sequence[Checkpoint] = (),
        archived: Iterator[bytes] | None = None,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._known = sorted(known, key=lambda checkpoint: checkpoint.size)
        self._findings = Findings()
        self._lines = archived
        self._archived = ArchivedLeaves([], None)
        self._tree = GrowingTree()
        self._computed = dict[Position, bytes]()
        self._tiles = 0

    async def run(self) -> Findings:
        """Read everything that is sealed, and return what differs.

        Raises `ArchiveUnfinishedError` if a partition is detached and not archived yet, and `ValueError` if a
        line of an archive is no entry.
        """
        if unfinished := await hold_partitions(self._connection):
            raise ArchiveUnfinishedError(f"the archive of {unfinished} has not ended")
        self._archived = ArchivedLeaves(await list_archives(self._connection), self._lines)
        signed = await self._read_checkpoints()
        expected = {checkpoint.size for checkpoint in (*signed, *self._known)}
        roots = {0: self._tree.root()} if 0 in expected else {}
        last_id = LOWEST_ID
        async for tile in self._list_tiles():
            last_id = await self._check_tile(tile, last_id, expected, roots)
        for difference in self._archived.end():
            self._findings.add(difference)
        self._findings.entries, self._findings.archived = self._tree.size, self._archived.count
        await self._check_upper_tiles()
        if (extra := await count_tiles(self._connection) - self._tiles) > 0:
            self._findings.add(f"{extra} tiles are outside the tree")
        for checkpoint in signed:
            if self._check_root(checkpoint, roots, "was signed"):
                self._findings.last = checkpoint
        for checkpoint in self._known:
            self._check_root(checkpoint, roots, "was published")
        if self._tree.size > max((each.size for each in signed), default=0):
            self._findings.add("the tiles have entries that no checkpoint has")
        return self._findings

    async def _read_checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints whose signature is right. Their sizes never decrease."""
        signed, after, size = list[Checkpoint](), LOWEST_ID, 0
        while chunk := await list_checkpoints(self._connection, after, CHUNK_CHECKPOINTS):
            after = chunk[-1].number
            for stored in chunk:
                checkpoint = self._open(stored)
                if checkpoint is None:
                    self._findings.add(f"the checkpoint {stored.number} is not signed by a known key")
                    continue
                if (checkpoint.origin, checkpoint.size) != (stored.origin, stored.size):
                    self._findings.add(f"the checkpoint {stored.number} is not what its row says")
                if checkpoint.size < size:
                    self._findings.add(
                        f"the checkpoint {stored.number} has fewer entries than an earlier one"
                    )
                size = max(size, checkpoint.size)
                signed.append(checkpoint)
        self._findings.checkpoints = len(signed)
        return signed

    def _open(self, stored: StoredCheckpoint) -> Checkpoint | None:
        try:
            return open_checkpoint(stored.note, self._keys)
        except NoteError:
            return None

    async def _list_tiles(self) -> AsyncIterator[StoredTile]:
        """Yield the tiles of the leaves. Stops at a missing or malformed one, and after a short one."""
        first = 0
        while chunk := await list_leaf_tiles(self._connection, first, CHUNK_TILES):
            for tile in chunk:
                if tile.tile != first or self._tree.size != first * TILE_WIDTH:
                    self._findings.add(f"the tile {first} is missing or too short")
                    return
                if not tile.is_well_formed():
                    self._findings.add(f"the tile {first} is malformed")
                    return
                self._tiles += 1
                yield tile
                first += 1

    async def _check_tile(
        self, tile: StoredTile, last_id: int, expected: set[int], roots: dict[int, bytes]
    ) -> int:
        """Compare a tile with its entries. Return the id of its last entry."""
        hashes, ids = tile.leaf_hashes(), list(tile.entry_ids)
        if ids != sorted(set(ids)) or ids[0] <= last_id:
            self._findings.add(f"the ids in the tile {tile.tile} are not in order")
        leaves = dict(await read_leaves(self._connection, last_id, max(last_id, *ids)))
        for entry_id, leaf_hash in zip(ids, hashes, strict=True):
            leaf = leaves.pop(entry_id, None)
            if leaf is None:
                if difference := self._archived.check(entry_id, leaf_hash):
                    self._findings.add(difference)
            elif entry_id <= self._archived.last_id:
                self._findings.add(f"the entry {entry_id} is in the log, and later ones were archived")
            elif hash_leaf(leaf) != leaf_hash:
                self._findings.add(f"the entry {entry_id} was changed")
        for entry_id in leaves:
            self._findings.add(f"the entry {entry_id} was inserted later than its id says")
        self._append(hashes)
        for leaf_hash in hashes:
            self._tree.append(leaf_hash)
            if self._tree.size in expected:
                roots[self._tree.size] = self._tree.root()
        return max(last_id, *ids)

    def _append(self, hashes: list[bytes]) -> None:
        try:
            self._computed |= append_leaves(self._computed, self._tree.size, hashes)
        except DamagedTilesError as error:  # a tile before this one was not full
            self._findings.add(str(error))
        # Only the last tile of the leaves is needed again.
        self._computed.pop((0, self._tree.size // TILE_WIDTH - 1), None)

    async def _check_upper_tiles(self) -> None:
        computed = {at: row for at, row in self._computed.items() if at[0]}
        level = 1
        while True:
            stored, first = dict[Position, bytes](), 0
            while chunk := await list_upper_tiles(self._connection, level, first, CHUNK_TILES):
                stored |= {(level, each.tile): each.hashes for each in chunk}
                for each in chunk:
                    if each.entry_ids:
                        self._findings.add(f"the tile {each.tile} at level {level} has ids of entries")
                first = chunk[-1].tile + 1
            wanted = {at: row for at, row in computed.items() if at[0] == level}
            for at in sorted(stored.keys() | wanted.keys()):
                if stored.get(at) != wanted.get(at):
                    self._findings.add(f"the tile {at[1]} at level {level} is not that of its entries")
            if not stored and not wanted:
                return
            self._tiles += len(stored)
            level += 1

    def _check_root(self, checkpoint: Checkpoint, roots: dict[int, bytes], how: str) -> bool:
        if checkpoint.size > self._tree.size:
            self._findings.add(
                f"{checkpoint.size} entries: {how}, but only {self._tree.size} are sealed here"
            )
            return False
        if roots.get(checkpoint.size) != checkpoint.root:
            self._findings.add(
                f"the first {checkpoint.size} entries are not those that the checkpoint commits to"
            )
            return False
        return True
