"""Refuses a database whose audit log does not continue what was signed before (docs/decisions/0071).

The database may have been restored to an earlier state, or somebody may have changed its tiles. What was
signed is remembered in this process, and in a file outside the database.
"""

from collections.abc import Sequence
from typing import Final

from runtime.database.postgres import Connection
from runtime.database.sealed_log import (
    SealedPart,
    StoredCheckpoint,
    read_last_checkpoint,
    read_sealed_part,
    read_tiles,
)
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import EMPTY_ROOT, root_of
from runtime.transparency_log.signed_note import NoteError, SigningKey, VerificationKey
from runtime.transparency_log.tiles import DamagedTilesError, Position, TileTree, last_tiles, tree_root
from services.flusher.jobs.audit_checkpoint_file import CheckpointFile, CheckpointFileError

DAMAGED: Final = "the tiles in the database are damaged"


class SealRefusedError(Exception):
    """The log does not continue what was signed before. Its text is our own, without data of entries."""


class Continuity:
    """Compares the sealed log with what this process and the file know. Raises `SealRefusedError`.

    `former` are public keys that signed the log before.
    """

    def __init__(
        self,
        keys: Sequence[SigningKey],
        file: CheckpointFile | None = None,
        former: Sequence[VerificationKey] = (),
    ) -> None:
        self.origin = keys[0].name
        # If nothing was sealed since a key was replaced, only the former key has signed the last checkpoint.
        self._public_keys = [
            *(key.verification_key() for key in keys),
            *(key for key in former if key.name == self.origin),
        ]
        self._file = file
        # What this process has signed or seen: a database restored to an earlier state does not have it.
        self._seen: Checkpoint | None = None
        self._published: Checkpoint | None = None

    async def read_file(self) -> None:
        """Read the checkpoint in the file, with which `check` compares."""
        if self._file is None:
            return
        try:
            note = await self._file.read()
            self._published = None if note is None else open_checkpoint(note, self._public_keys)
        except NoteError as error:
            raise SealRefusedError(
                "none of the keys has signed the checkpoint in FASTCORE_AUDIT_CHECKPOINT_FILE"
            ) from error
        except CheckpointFileError as error:
            raise SealRefusedError(str(error)) from error

    async def write_file(self, checkpoint: Checkpoint, note: str) -> None:
        """Write the checkpoint into the file, unless it is there."""
        if self._file is None or checkpoint == self._published:
            return
        try:
            await self._file.write(note)
        except CheckpointFileError as error:
            raise SealRefusedError(str(error)) from error

    def remember(self, checkpoint: Checkpoint) -> None:
        """Compare with this checkpoint from now on."""
        self._seen = checkpoint

    async def check(
        self, connection: Connection
    ) -> tuple[SealedPart, dict[Position, bytes], Checkpoint, StoredCheckpoint | None]:
        """Return what is sealed, its last tiles, the checkpoint of this tree, and the stored one."""
        part, stored = await read_sealed_part(connection), await read_last_checkpoint(connection)
        tiles = await read_tiles(connection, last_tiles(part.size))
        current = self._check_stored(part, tiles, stored)
        for earlier in (self._seen, self._published):
            await _check_continues(connection, part.size, earlier)
        return part, tiles, current, stored

    def _check_stored(
        self, part: SealedPart, tiles: dict[Position, bytes], stored: StoredCheckpoint | None
    ) -> Checkpoint:
        """Return the checkpoint of the stored tree, which must be the last one that was signed."""
        try:
            root = tree_root(tiles, part.size)
        except DamagedTilesError as error:
            raise SealRefusedError(DAMAGED) from error
        current = Checkpoint(self.origin, part.size, root)
        if stored is None:
            if part.size:
                raise SealRefusedError("the database has tiles, but no checkpoint of them")
        elif stored.origin == self.origin:
            try:
                signed = open_checkpoint(stored.note, self._public_keys)
            except NoteError as error:
                raise SealRefusedError(
                    "no key has signed the last checkpoint: add the public key of the one that did to "
                    "FASTCORE_AUDIT_FORMER_PUBLIC_KEYS"
                ) from error
            if signed != current:
                raise SealRefusedError("the tiles in the database are not those of the last checkpoint")
        return current


async def _check_continues(connection: Connection, size: int, earlier: Checkpoint | None) -> None:
    """Check that the stored tree begins with that of an earlier checkpoint."""
    if earlier is None:
        return
    if earlier.size > size:
        raise SealRefusedError(
            f"fork: {earlier.size} entries were signed, and the database has {size}. It was restored"
        )
    tiles = await read_tiles(connection, last_tiles(earlier.size))
    try:
        root = root_of(TileTree(tiles.get), earlier.size) if earlier.size else EMPTY_ROOT
    except DamagedTilesError as error:
        raise SealRefusedError(DAMAGED) from error
    if root != earlier.root:
        raise SealRefusedError(f"fork: the first {earlier.size} entries are not those that were signed")
