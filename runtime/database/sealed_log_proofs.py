"""Proofs of the sealed audit log, from its tiles: of an entry, and between checkpoints (docs/audit.md)."""

import base64
import json
from collections.abc import Callable, Sequence

from runtime.database.postgres import Connection
from runtime.database.sealed_log import find_leaf_index, read_leaves, read_tiles
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import (
    HASH_BYTES,
    NodeReader,
    ProofError,
    prove_consistency,
    prove_inclusion,
    verify_consistency,
)
from runtime.transparency_log.signed_note import NoteError, VerificationKey
from runtime.transparency_log.tiles import TILE_HEIGHT, TILE_WIDTH, Position, TileTree


class _TilePositions:
    """A tree without hashes, which remembers the tiles that a proof needs."""

    def __init__(self) -> None:
        self.found = set[Position]()

    def node(self, height: int, index: int, /) -> bytes:
        level, rest = divmod(height, TILE_HEIGHT)
        self.found.add((level, index // (TILE_WIDTH >> rest)))
        return bytes(HASH_BYTES)


async def _prove(connection: Connection, prove: Callable[[NodeReader], list[bytes]]) -> list[bytes]:
    positions = _TilePositions()
    prove(positions)
    tiles = await read_tiles(connection, sorted(positions.found))
    return prove(TileTree(tiles.get))


async def read_inclusion_proof(connection: Connection, index: int, size: int) -> list[bytes]:
    """Return the proof that the first `size` leaves contain the leaf at `index`.

    Raises `ValueError` if they do not, and `DamagedTilesError`, a `ValueError` too, if tiles are missing.
    """
    return await _prove(connection, lambda tree: prove_inclusion(tree, index, size))


async def read_consistency_proof(connection: Connection, old_size: int, size: int) -> list[bytes]:
    """Return the proof that the first `size` leaves begin with the first `old_size`. Raises as above."""
    return await _prove(connection, lambda tree: prove_consistency(tree, old_size, size))


async def prove_entry(connection: Connection, entry_id: int, size: int) -> str | None:
    """Return the line of an entry in a history: its index, its proof and its bytes.

    None: the entry is not among the first `size` leaves, or it was archived. Raises as above.
    """
    index = await find_leaf_index(connection, entry_id)
    if index is None or index >= size:
        return None
    leaves = await read_leaves(connection, entry_id - 1, entry_id)
    if not leaves:
        return None
    return format_entry(index, await read_inclusion_proof(connection, index, size), leaves[0][1])


def format_header(note: str) -> str:
    """Return the first line of an export or a history: the checkpoint."""
    return json.dumps({"checkpoint": note}, ensure_ascii=False)


def format_entry(index: int, proof: Sequence[bytes], leaf: bytes) -> str:
    """Return the line of an entry in a history."""
    encoded = [base64.b64encode(each).decode() for each in proof]
    return json.dumps({"index": index, "proof": encoded, "leaf": leaf.decode()}, ensure_ascii=False)


def format_consistency(old_size: int, proof: Sequence[bytes], note: str) -> str:
    """Return a proof between two checkpoints, as C2SP tlog-witness writes it: `old`, hashes, checkpoint."""
    hashes = "".join(base64.b64encode(each).decode() + "\n" for each in proof)
    return f"old {old_size}\n{hashes}\n{note}"


def open_consistency(text: str, keys: Sequence[VerificationKey], known: Sequence[Checkpoint]) -> Checkpoint:
    """Return the newer checkpoint of a proof that it continues the one of `known` with the older size.

    Raises `NoteError` for a malformed proof or checkpoint, and `ProofError` if it continues another log.
    """
    head, _, note = text.partition("\n\n")
    first, *hashes = head.split("\n")
    word, _, number = first.partition(" ")
    if word != "old" or not number.isdecimal() or not number.isascii():
        raise NoteError("the file is no proof of consistency")
    try:
        proof = [base64.b64decode(each, validate=True) for each in hashes]
    except ValueError as error:
        raise NoteError("the file is no proof of consistency") from error
    checkpoint, old_size = open_checkpoint(note, keys), int(number)
    earlier = [each for each in known if each.size == old_size]
    if not earlier:
        raise ProofError(f"no known checkpoint has {old_size} entries, of which the proof is")
    for each in earlier:
        if each.origin != checkpoint.origin:
            raise ProofError("the checkpoints are of two logs")
        verify_consistency(old_size, checkpoint.size, proof, each.root, checkpoint.root)
    return checkpoint
