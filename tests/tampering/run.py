"""Makes one change after the other, each in a transaction that is rolled back, and asks both verifiers."""

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.cli.audit.files import AuditFileError, export_log, verify_file
from runtime.database.sealed_log_check import SealedLogCheck
from runtime.transparency_log.checkpoint import open_checkpoint
from tests.support.sealed_log import PUBLIC_KEY
from tests.tampering.changes import KINDS, Change, set_back
from tests.tampering.independent import refuses_export, refuses_tables
from tests.tampering.log import SealedLog, Undo, fingerprint


@dataclass
class Result:
    """How many changes of each kind there were, and which ones a verifier did not find."""

    made: Counter[str] = field(default_factory=Counter)
    by_check: Counter[str] = field(default_factory=Counter)
    by_export: Counter[str] = field(default_factory=Counter)
    by_program: Counter[str] = field(default_factory=Counter)
    by_tables: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)


async def tamper(
    db: Any, log: SealedLog, path: Path, seed: int, count: int, kinds: Sequence[Change] = KINDS
) -> Result:
    """Make `count` changes and return who found them. `db` belongs to a superuser; `path` is for exports.

    Our check reads the database. Our verifier and the document's program read its export. A log that was set
    back to what was signed then is shown to each with the newest checkpoint, as a witness has it.
    """
    chance, result, original = random.Random(seed), Result(), await fingerprint(db)
    while result.made.total() < count:
        kind = kinds[result.made.total() % len(kinds)]
        with suppress(Undo):
            async with db.transaction():
                what = await kind(db, log, chance)
                if await fingerprint(db) != original:
                    await _verify(db, log, path, kind, what, result)
                raise Undo
    return result


async def _verify(db: Any, log: SealedLog, path: Path, kind: Change, what: str, result: Result) -> None:
    name = kind.__name__
    newest = open_checkpoint(log.notes[-1], [PUBLIC_KEY])
    known = [newest] if kind is set_back else []
    checked = (await SealedLogCheck(db, [PUBLIC_KEY], known).run()).count > 0
    try:
        lines = [line async for line in export_log(db)]
    except AuditFileError:  # there is no export to give away
        lines = []
    try:
        verify_file([line.encode() for line in lines], [PUBLIC_KEY], [newest])
        by_export = False
    except AuditFileError:
        by_export = True
    by_program = refuses_export(path, lines, log.notes[-1])
    by_tables = await refuses_tables(db)
    result.made[name] += 1
    result.by_check[name] += checked
    result.by_export[name] += by_export
    result.by_program[name] += by_program
    result.by_tables[name] += by_tables
    if not checked or not (by_program or by_tables):
        result.missed.append(what)
