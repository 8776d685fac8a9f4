"""A sealed audit log to test with: entries, the sealer, and the verifier of docs/audit.md."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from deploy.cli.audit.files import export_log
from runtime.database.postgres import Connection, Pool, open_pool
from runtime.settings import Postgres
from runtime.transparency_log.signed_note import SigningKey, VerificationKey
from services.flusher.jobs.audit_checkpoint_file import CheckpointFile
from services.flusher.jobs.audit_continuity import Continuity
from services.flusher.jobs.audit_seal import AuditSealer
from services.flusher.jobs.scheduled_job import Report

DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"
KEY = SigningKey("audit.example.com", bytes(range(32)))
PUBLIC_KEY = KEY.verification_key()


@cache
def document_functions() -> dict[str, Callable[..., Any]]:
    """Return the functions of the program in docs/audit.md."""
    [program] = re.findall(
        r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {"__name__": "check"}
    exec(compile(program, str(DOCUMENT), "exec"), names)  # noqa: S102 - the document's program is under test
    return names


def document_verifier() -> Callable[..., str]:
    """Return the function `check` of the program in docs/audit.md."""
    return document_functions()["check"]


async def add_entries(db: Any, count: int, lead_id: UUID | None = None) -> None:
    """Append entries, with details of every kind."""
    await db.executemany(
        "INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id)"
        " VALUES ($1, 'lead.received', $2, $3, $4, $5, $6)",
        [
            (
                uuid4(),
                'Zoë "the admin"\n' if number % 3 else "persister",
                number if number % 2 else None,
                {"partition": number, "ratio": 0.1, "nested": {"b": [None, True], "a": "\u2028"}},
                lead_id or uuid4(),
                f"request-{number}" if number % 5 else None,
            )
            for number in range(count)
        ],
    )


def new_sealer(
    pool: Pool,
    keys: Sequence[SigningKey] = (KEY,),
    file: Path | None = None,
    former: Sequence[VerificationKey] = (),
) -> AuditSealer:
    """Return the sealer of a flusher that has just started."""
    return AuditSealer(pool, keys, Continuity(keys, CheckpointFile(file) if file else None, former))


async def seal(
    postgres: Postgres,
    keys: Sequence[SigningKey] = (KEY,),
    file: Path | None = None,
    former: Sequence[VerificationKey] = (),
) -> Report:
    """Run the sealer once, as a flusher that has just started."""
    async with open_pool(postgres, "test") as pool:
        return await new_sealer(pool, keys, file, former).run()


async def undo_protection(db: Any) -> None:
    """Switch the triggers off, as a superuser may."""
    for table in ("audit_log", "audit_tile", "audit_checkpoint"):
        await db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


async def restore_to(db: Any, size: int) -> None:
    """Set the database back to the state with this many entries, as a restored backup has it."""
    await undo_protection(db)
    for statement in (
        "DELETE FROM audit_checkpoint WHERE size > $1",
        "DELETE FROM audit_log WHERE id NOT IN (SELECT id FROM audit_log ORDER BY id LIMIT $1)",
        "UPDATE audit_tile SET hashes = substring(hashes FROM 1 FOR $1 * 32), entry_ids = entry_ids[1:$1]",
    ):
        await db.execute(statement, size)


async def export_to(path: Path, connection: Any) -> Path:
    """Write an export."""
    async with connection.transaction():
        lines = [line async for line in export_log(cast("Connection", connection))]
    return write_lines(path, lines)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    return path
