"""The commands that check the sealed audit log, or prove what it says (docs/audit.md).

They connect with the rights of the services' role.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer

from deploy.cli.audit.archive_file import read_archives
from deploy.cli.audit.files import AuditFileError, export_log, prove_continuation, prove_lead, verify_file
from runtime import event_loop
from runtime.database.postgres import Connection, open_pool, snapshot
from runtime.database.sealed_log import Archive, list_archives
from runtime.database.sealed_log_check import ArchiveUnfinishedError, Findings, SealedLogCheck
from runtime.database.sealed_log_proofs import open_consistency
from runtime.failures import Failure
from runtime.settings import Postgres, load
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import ProofError
from runtime.transparency_log.signed_note import KeyFormatError, NoteError, SigningKey, VerificationKey

Out = Annotated[Path | None, typer.Option("--out", help="the file to write. Default: standard output")]
Archives = Annotated[
    list[Path] | None, typer.Option("--archive", help="the file of an archived partition; repeatable")
]
KEY_MODE: Final = 0o600


def key(name: str, file: Path) -> None:
    """Write a new signing key for the log NAME, such as audit.example.com, to FILE. Print its public key."""
    try:
        made = SigningKey.generate(name)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE), "w") as out:
            out.write(made.text() + "\n")
    except (KeyFormatError, OSError) as error:
        sys.exit(str(error))
    print(made.verification_key())


def export(out: Out = None, archive: Archives = None) -> None:
    """Write all sealed entries, with the newest checkpoint. Archived ones need the files of all archives."""
    _write(lambda connection: export_log(connection, read_archives(archive or [])), out)


def prove(lead: UUID, out: Out = None, archive: Archives = None) -> None:
    """Write the sealed entries of a lead, each with its proof, and the newest checkpoint."""
    _write(lambda connection: prove_lead(connection, lead, read_archives(archive or [])), out)


def consistency(old_size: int, out: Out = None) -> None:
    """Write the proof that the newest checkpoint continues the one with OLD_SIZE entries, for a witness."""

    async def lines(connection: Connection) -> AsyncIterator[str]:
        yield (await prove_continuation(connection, old_size)).removesuffix("\n")

    _write(lines, out, "proof written")


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="an export, a history or a proof of consistency. Default: the database"),
    ] = None,
    *,
    key: Annotated[list[str], typer.Option("--key", help="a public key of the log; repeatable")],
    known: Annotated[
        list[Path] | None, typer.Option("--known", help="a file with an earlier checkpoint; repeatable")
    ] = None,
    archive: Archives = None,
) -> None:
    """Verify a file, or the database, with the log's public keys and with checkpoints that you have.

    The archived entries of the database are compared if the files of all archives are there.
    """
    try:
        keys = [VerificationKey.parse(each) for each in key]
        earlier = [open_checkpoint(path.read_text(encoding="utf-8"), keys) for path in known or []]
    except (KeyFormatError, NoteError, OSError) as error:
        sys.exit(f"--key or --known: {error}")
    if file is not None:
        _verify_file(file, keys, earlier)
        return
    try:
        findings, archives = event_loop.run(_check_database(keys, earlier, archive))
    except Failure as failure:
        sys.exit(f"{failure.reason}: check DATABASE_URL")
    except (ArchiveUnfinishedError, OSError, EOFError, ValueError) as error:
        sys.exit(str(error))
    for each in archives:
        print(f"archived: {each.name}, {each.entries} entries, SHA-256 {each.sha256}")
    for difference in findings.differences:
        print(difference)
    if findings.count:
        sys.exit(f"{findings.count} differences: the log is not what was signed")
    print(f"{findings.entries} entries and {findings.checkpoints} checkpoints: no difference")
    if findings.archived and not archive:
        print(
            f"{findings.archived} entries are archived and were not compared: name the files with --archive"
        )


def _verify_file(file: Path, keys: list[VerificationKey], earlier: list[Checkpoint]) -> None:
    try:
        if (text := _read_consistency(file)) is not None:
            newer = open_consistency(text, keys, earlier)
            print(f"the checkpoint of {newer.size} entries of {newer.origin} continues the known one")
            return
        with file.open("rb") as lines:
            found = verify_file((line.removesuffix(b"\n") for line in lines), keys, earlier)
    except (AuditFileError, NoteError, ProofError, OSError) as error:
        sys.exit(f"{file}: {error}")
    what = "the whole log" if found.is_whole_log else "entries of the log, each with its proof"
    print(f"{found.entries} entries: {what} {found.checkpoint.origin}, {found.checkpoint.size} entries long")


def _read_consistency(file: Path) -> str | None:
    """Return the text of a proof of consistency. None: the file is another one."""
    with file.open("rb") as stream:
        if stream.read(4) != b"old ":
            return None
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("the file is no proof of consistency") from error


async def _check_database(
    keys: list[VerificationKey], earlier: list[Checkpoint], files: list[Path] | None
) -> tuple[Findings, list[Archive]]:
    async with open_pool(load(Postgres), "audit") as pool, snapshot(pool) as connection:
        lines = read_archives(files) if files else None
        findings = await SealedLogCheck(connection, keys, earlier, lines).run()
        return findings, await list_archives(connection)


def _write(
    lines: Callable[[Connection], AsyncIterator[str]], out: Path | None, done: str = "{count} entries"
) -> None:
    async def write() -> int:
        async with open_pool(load(Postgres), "audit") as pool, snapshot(pool) as connection:
            stream = out.open("wb") if out else sys.stdout.buffer  # the bytes that are sealed, in any locale
            try:
                count = -1  # the first line is the checkpoint
                async for line in lines(connection):
                    stream.write(line.encode() + b"\n")
                    count += 1
            finally:
                stream.flush()
                if out:
                    stream.close()
            return count

    try:
        count = event_loop.run(write())
    except (Failure, OSError, EOFError, ValueError) as error:  # also an AuditFileError
        sys.exit(str(error))
    print(done.format(count=count), file=sys.stderr)
