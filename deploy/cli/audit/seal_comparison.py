"""Compares a partition with the tiles of the sealed log, before it is archived and dropped."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from runtime.database.archived_leaves import read_id
from runtime.database.postgres import load_queries
from runtime.database.sealed_log import (
    LOWEST_ID,
    list_leaf_hashes,
    read_last_checkpoint,
    read_sealed_part,
)
from runtime.transparency_log.merkle_tree import hash_leaf

SQL: Any = load_queries(Path(__file__).with_name("seal_comparison.sql"))
RUNBOOK: Final = "see docs/runbooks/AuditLogDiffers.md"


async def refuse_unsealed(connection: Any, name: str) -> None:
    """Raise `RuntimeError` if the log is sealed and no checkpoint covers the last entry of the partition."""
    checkpoint = await read_last_checkpoint(connection)
    if checkpoint is None:
        return
    sealed = await read_sealed_part(connection)
    last_id = await connection.fetchval(f'SELECT max(id) FROM public."{name}"')
    if checkpoint.size < sealed.size or (sealed.last_id if sealed.size else LOWEST_ID) < (
        last_id or LOWEST_ID
    ):
        raise RuntimeError(
            f"no checkpoint covers all entries of {name}: wait until the flusher's job audit_seal has run"
        )


async def compare_with_seal(connection: Any, name: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the lines of the oldest partition. Raises `RuntimeError` if they are not the sealed entries.

    If the log is not sealed, nothing is compared.
    """
    if await read_last_checkpoint(connection) is None:
        async for line in lines:
            yield line
        return
    bounds = await SQL.bounds(connection, name=name)
    leaves = list_leaf_hashes(connection, bounds["after"], bounds["before"])
    async for line in lines:
        data = line.encode()
        entry_id, (sealed_id, leaf_hash) = read_id(data), await anext(leaves, (None, b""))
        if (entry_id, hash_leaf(data)) != (sealed_id, leaf_hash):
            raise RuntimeError(f"the entry {entry_id} of {name} is not what was sealed: {RUNBOOK}")
        yield line
    async for sealed_id, _ in leaves:
        raise RuntimeError(f"the sealed entry {sealed_id} is missing in {name}: {RUNBOOK}")
