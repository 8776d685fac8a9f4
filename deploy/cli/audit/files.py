"""Writes and verifies the files by which others check the audit log: exports and the history of a lead.

A file has a JSON object per line. The first line has the checkpoint. In an export, each further line is an
entry, byte by byte as it was sealed. In the history of a lead, it has an entry with its inclusion proof.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from runtime.database.archived_leaves import read_id
from runtime.database.postgres import Connection, load_queries
from runtime.database.sealed_log import (
    LOWEST_ID,
    StoredCheckpoint,
    hold_partitions,
    list_archives,
    read_last_checkpoint,
    read_leaves,
)
from runtime.database.sealed_log_proofs import (
    format_consistency,
    format_entry,
    format_header,
    read_consistency_proof,
    read_inclusion_proof,
)
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import GrowingTree, ProofError, hash_leaf, verify_inclusion
from runtime.transparency_log.signed_note import NoteError, VerificationKey

SQL: Any = load_queries(Path(__file__).with_name("files.sql"))
CHUNK: Final = 4096


class AuditFileError(ValueError):
    """The file or the log is not what the checkpoint commits to, or there is no checkpoint."""


@dataclass(frozen=True)
class Verified:
    """The result of a verification: the checkpoint of the file, and the number of its entries."""

    checkpoint: Checkpoint
    entries: int
    is_whole_log: bool


async def export_log(connection: Connection, archived: Iterable[bytes] = ()) -> AsyncIterator[str]:
    """Yield the lines of an export: all entries of the newest checkpoint. Raises `AuditFileError`.

    `archived` are the entries of all archives, oldest first. Those of before the seal are left out.
    """
    checkpoint = await _newest_checkpoint(connection)
    yield format_header(checkpoint.note)
    last_id, left = LOWEST_ID, checkpoint.size
    first_sealed: int | None = await SQL.find_first_sealed(connection)
    for line in archived:
        if first_sealed is not None and left and read_id(line) >= first_sealed:
            yield line.decode()
            left -= 1
    while left:
        leaves = await read_leaves(connection, last_id, limit=min(CHUNK, left))
        if not leaves:
            archives = ", ".join(each.name for each in await list_archives(connection))
            hint = f". Name the files of all archives ({archives}) with --archive" if archives else ""
            raise AuditFileError(
                f"the log lacks {left} of the {checkpoint.size} entries that were signed{hint}"
            )
        for _, leaf in leaves:
            yield leaf.decode()
        last_id, left = leaves[-1][0], left - len(leaves)


async def prove_lead(
    connection: Connection, lead_id: UUID, archived: Iterable[bytes] = ()
) -> AsyncIterator[str]:
    """Yield the lines of a lead's history, with the proof of each entry. Raises `AuditFileError`.

    `archived` are the entries of archives, oldest first. Entries that are not sealed are left out.
    """
    checkpoint = await _newest_checkpoint(connection)
    yield format_header(checkpoint.note)
    moved = {read_id(line): line for line in archived if json.loads(line)["lead_id"] == str(lead_id)}
    rows = SQL.list_sealed_entries(connection, lead_id=lead_id, archived=sorted(moved))
    for entry_id, index in [(row["id"], row["leaf_index"]) async for row in rows]:
        if index >= checkpoint.size:
            continue
        proof = await read_inclusion_proof(connection, index, checkpoint.size)
        leaf = moved.get(entry_id)
        if leaf is None:
            [(_, leaf)] = await read_leaves(connection, entry_id - 1, entry_id)
        yield format_entry(index, proof, leaf)


async def prove_continuation(connection: Connection, old_size: int) -> str:
    """Return the proof that the newest checkpoint continues the one with `old_size` entries.

    Raises `AuditFileError`.
    """
    checkpoint = await _newest_checkpoint(connection)
    if not 0 <= old_size <= checkpoint.size:
        raise AuditFileError(
            f"only {checkpoint.size} entries are sealed: the log does not continue {old_size}"
        )
    proof = await read_consistency_proof(connection, old_size, checkpoint.size)
    return format_consistency(old_size, proof, checkpoint.note)


async def _newest_checkpoint(connection: Connection) -> StoredCheckpoint:
    if unfinished := await hold_partitions(connection):
        raise AuditFileError(f"the archive of {unfinished} has not ended")
    checkpoint = await read_last_checkpoint(connection)
    if checkpoint is None:
        raise AuditFileError("the log is not sealed: set FASTCORE_AUDIT_SIGNING_KEY of the flusher")
    return checkpoint


def verify_file(
    lines: Iterable[bytes], keys: Sequence[VerificationKey], known: Sequence[Checkpoint] = ()
) -> Verified:
    """Verify a file with the public keys. `known` are earlier checkpoints, which an export must continue.

    A history cannot show that the log continues an earlier checkpoint, so it is refused with one. `lines` are
    without their line breaks. Raises `AuditFileError`, which says what is wrong.
    """
    rest = iter(lines)
    try:
        checkpoint = open_checkpoint(json.loads(next(rest, b"{}"))["checkpoint"], keys)
    except NoteError as error:
        raise AuditFileError(f"checkpoint: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditFileError("the first line has no checkpoint") from error
    first = next(rest, None)
    if first is not None and first.startswith(b'{"index":'):
        if known:
            raise AuditFileError("only an export of the whole log shows that it continues a checkpoint")
        return _verify_history(checkpoint, chain((first,), rest))
    return _verify_export(checkpoint, chain(() if first is None else (first,), rest), known)


def _verify_export(checkpoint: Checkpoint, lines: Iterable[bytes], known: Sequence[Checkpoint]) -> Verified:
    tree, expected = GrowingTree(), dict[int, set[bytes]]()
    for earlier in known:
        expected.setdefault(earlier.size, set()).add(earlier.root)
    for root in expected.pop(0, set()):
        _check_earlier(tree, root)
    for line in lines:
        tree.append(hash_leaf(line))
        for root in expected.pop(tree.size, set()):
            _check_earlier(tree, root)
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise AuditFileError(
            f"the {tree.size} entries of the file are not the {checkpoint.size} of the checkpoint"
        )
    if expected:
        raise AuditFileError(f"an earlier checkpoint has {min(expected)} entries: the log was truncated")
    return Verified(checkpoint, tree.size, is_whole_log=True)


def _check_earlier(tree: GrowingTree, root: bytes) -> None:
    if tree.root() != root:
        raise AuditFileError(f"the first {tree.size} entries are not those of an earlier checkpoint")


def _verify_history(checkpoint: Checkpoint, lines: Iterable[bytes]) -> Verified:
    count, last_index = 0, -1
    for line in lines:
        try:
            part = json.loads(line)
            index, leaf = int(part["index"]), part["leaf"].encode()
            proof = [base64.b64decode(each, validate=True) for each in part["proof"]]
            # Another spelling may hide something, such as a member that is there twice or not proved.
            if format_entry(index, proof, leaf).encode() != line:
                raise AuditFileError(f"entry {count + 1} of the file is not as we wrote it")
            verify_inclusion(hash_leaf(leaf), index, checkpoint.size, proof, checkpoint.root)
        except ProofError as error:
            raise AuditFileError(f"entry {count + 1} of the file: {error}") from error
        except AuditFileError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise AuditFileError(f"entry {count + 1} of the file has no proof") from error
        if index <= last_index:
            raise AuditFileError(f"entry {count + 1} of the file is not in the order of the log")
        count, last_index = count + 1, index
    return Verified(checkpoint, count, is_whole_log=False)
