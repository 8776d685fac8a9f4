"""A verifier that shares no code with the product: the program of docs/audit.md, and its functions on tables.

The program reads an export, which has the entries and the newest checkpoint. The tiles and the other
checkpoints are in the database only; they are compared here.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.sealed_log import PUBLIC_KEY, document_functions, write_lines
from tests.tampering.changes import LEAVES

TILE = 256


def refuses_export(path: Path, lines: list[str], note: str) -> bool:
    """Return True if the document's program refuses an export, given what a witness has."""
    write_lines(path, lines)
    try:
        document_functions()["check"](path, str(PUBLIC_KEY), note)
    except Exception:  # noqa: BLE001 - the program ends with whatever is wrong
        return True
    return False


async def refuses_tables(db: Any) -> bool:
    """Return True if the tiles or the checkpoints are not those of the entries in the table."""
    leaf, root, checkpoint = (document_functions()[name] for name in ("leaf", "root", "checkpoint"))
    rows = await db.fetch(LEAVES)
    leaves, ids = [leaf(row["leaf"].encode()) for row in rows], [row["id"] for row in rows]
    expected, level, hashes = dict[tuple[int, int], tuple[bytes, list[int]]](), 0, leaves
    while hashes:
        parts = [hashes[at : at + TILE] for at in range(0, len(hashes), TILE)]
        for tile, part in enumerate(parts):
            expected[level, tile] = (b"".join(part), ids[tile * TILE :][:TILE] if level == 0 else [])
        hashes, level = [root(part) for part in parts if len(part) == TILE], level + 1
    stored = await db.fetch("SELECT level, tile, hashes, entry_ids FROM audit_tile")
    found = {(row["level"], row["tile"]): (row["hashes"], row["entry_ids"]) for row in stored}
    if len(stored) != len(expected) or found != expected:
        return True
    sizes = list[int]()
    for row in await db.fetch("SELECT origin, size, note FROM audit_checkpoint ORDER BY number"):
        try:
            size, signed = checkpoint(row["note"], str(PUBLIC_KEY))
        except Exception:  # noqa: BLE001 - as above
            return True
        origin = row["note"].partition("\n")[0]
        if (row["origin"], row["size"]) != (origin, size) or root(leaves[:size]) != signed:
            return True
        sizes.append(size)
    return sizes[-1:] != [len(leaves)] or any(later < earlier for earlier, later in pairwise(sizes))
