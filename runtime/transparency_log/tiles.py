"""The tiles of a Merkle tree (C2SP tlog-tiles): rows of 256 hashes, each a perfect subtree of 8 levels.

A tile at level 0 has the hashes of 256 leaves. At each higher level, a tile has the roots of 256 full tiles
of the level below. The last tile of a level may be shorter. A tile only grows: its hashes never change.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from runtime.transparency_log.merkle_tree import HASH_BYTES, hash_children, root_of

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
FULL_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES

Position: TypeAlias = tuple[int, int]
"""The level and the index of a tile."""


class DamagedTilesError(ValueError):
    """A tile is missing, or is shorter than the size of its tree requires."""


class TileTree:
    """A tree whose nodes are computed from its tiles. Each tile is read once."""

    def __init__(self, read_tile: Callable[[Position], bytes | None]) -> None:
        """`read_tile` returns the hashes of a tile, one after the other, or None if there is no such tile."""
        self._read = read_tile
        self._rows = dict[Position, list[list[bytes]]]()

    def node(self, height: int, index: int, /) -> bytes:
        """Return the root over the leaves from `index * 2**height`. Raises `DamagedTilesError`."""
        level, rest = divmod(height, TILE_HEIGHT)
        tile, offset = divmod(index, TILE_WIDTH >> rest)
        rows = self._tile_rows((level, tile))
        while len(rows) <= rest:
            below = rows[-1]
            rows.append([hash_children(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
        if offset >= len(rows[rest]):
            raise DamagedTilesError(f"the tile {tile} at level {level} is too short")
        return rows[rest][offset]

    def _tile_rows(self, position: Position) -> list[list[bytes]]:
        rows = self._rows.get(position)
        if rows is None:
            data = self._read(position)
            if not data:
                raise DamagedTilesError(f"the tile {position[1]} at level {position[0]} is missing")
            rows = self._rows[position] = [split_hashes(data)]
        return rows


def split_hashes(data: bytes) -> list[bytes]:
    """Return the hashes of a tile. Raises `DamagedTilesError` unless it has 1 to 256 hashes."""
    if len(data) % HASH_BYTES or not 0 < len(data) <= FULL_TILE_BYTES:
        raise DamagedTilesError("a tile has 1 to 256 hashes of 32 bytes")
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def last_tiles(size: int) -> list[Position]:
    """Return the last tile of each level of a tree, those that the root is computed from and that may grow.

    It is the partial tile of the level, or its last full one.
    """
    positions, level, width = list[Position](), 0, size
    while width:
        positions.append((level, (width - 1) // TILE_WIDTH))
        width //= TILE_WIDTH
        level += 1
    return positions


def append_leaves(
    tiles: Mapping[Position, bytes], size: int, leaf_hashes: Iterable[bytes]
) -> dict[Position, bytes]:
    """Append leaves to a tree of `size` leaves. Return each tile that is new or grew, with all of its hashes.

    `tiles` has the tiles of `last_tiles(size)`. Raises `DamagedTilesError` if one is missing or has another
    length than the size requires.
    """
    changed, level = dict[Position, bytes](), 0
    new_hashes = list(leaf_hashes)
    while new_hashes:
        tile, width = divmod(size, TILE_WIDTH)
        data = tiles.get((level, tile), b"") if width else b""
        if len(data) != width * HASH_BYTES:
            raise DamagedTilesError(f"the tile {tile} at level {level} does not have {width} hashes")
        row = data + b"".join(new_hashes)
        new_hashes = []
        for start in range(0, len(row), FULL_TILE_BYTES):
            part = row[start : start + FULL_TILE_BYTES]
            changed[level, tile + start // FULL_TILE_BYTES] = part
            if len(part) == FULL_TILE_BYTES:
                new_hashes.append(_root_of_full_tile(part))
        size //= TILE_WIDTH
        level += 1
    return changed


def tree_root(tiles: Mapping[Position, bytes], size: int) -> bytes:
    """Return the root of a tree of `size` leaves from `last_tiles(size)`. Raises `DamagedTilesError`."""
    return root_of(TileTree(tiles.get), size)


def _root_of_full_tile(data: bytes) -> bytes:
    row = split_hashes(data)
    while len(row) > 1:
        row = [hash_children(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]
