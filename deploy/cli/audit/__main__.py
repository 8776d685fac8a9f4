"""The commands of `python -m deploy.cli.audit`. Those of this file connect with the owner's role."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer

from deploy.cli.audit import seal_commands
from deploy.cli.audit.archive import archive as archive_partition
from deploy.cli.audit.archive import find_candidate
from deploy.cli.audit.partitioning import partition_log
from deploy.settings import MigrationSettings
from runtime import event_loop
from runtime.settings import load
from runtime.workarounds.asyncpg import Connector

T = TypeVar("T")
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 3600.0
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for command in (
    seal_commands.key,
    seal_commands.export,
    seal_commands.prove,
    seal_commands.consistency,
    seal_commands.verify,
):
    app.command()(command)


@app.callback()
def main() -> None:
    """Seal and verify the audit log (docs/audit.md), or keep it in partitions (docs/audit-log.md)."""


@app.command()
def partition() -> None:
    """Put the audit log into partitions, while the services run.

    Run it once, after an upgrade has replaced every service: services of a version before migration 0049
    cannot insert entries afterwards.
    """
    changed = _run(lambda connection: partition_log(connection, print))
    print("the audit log is in partitions" if changed else "the audit log was in partitions already")


@app.command()
def archive(
    to: Annotated[Path, typer.Option(help="The folder for the file.", exists=True, file_okay=False)],
    apply: Annotated[bool, typer.Option(help="Archive it; without this, only say what would be.")] = False,
    yes: Annotated[bool, typer.Option(help="Do not ask for a confirmation.")] = False,
) -> None:
    """Move the oldest complete partition to a file of JSON lines: export, detach, verify, drop.

    Changes nothing without --apply. The entries leave the timelines of the leads, the audit page and the
    personal data of a person.
    """

    async def find_and_archive(connection: Any) -> str:
        candidate = await find_candidate(connection)
        if candidate is None:
            return "no partition is complete: there is nothing to archive"
        size = f" ({candidate.bytes / 1e6:,.1f} MB with its indexes)" if candidate.bytes is not None else ""
        if candidate.is_detached:
            size = ", which an earlier run detached"
        if not apply:
            return f"would archive {candidate.name}{size} to {to}. Nothing was changed: add --apply"
        if not yes and not typer.confirm(f"Archive {candidate.name}{size} to {to}, and drop it?"):
            return "nothing was changed"
        return f"archived {candidate.name} as {await archive_partition(connection, candidate, to, print)}"

    print(_run(find_and_archive))


def _run(command: Callable[[Any], Awaitable[T]]) -> T:
    """Run a command with a connection of the owner. Exit with one line if it fails."""
    settings = load(MigrationSettings)
    owner = (settings.migration_database_url or settings.database_url).get_secret_value()

    async def connected() -> T:
        connection = await Connector(owner, CONNECT_SECONDS).connect(command_timeout=COMMAND_SECONDS)
        try:
            return await command(connection)
        finally:
            await connection.close(timeout=5)

    try:
        return event_loop.run(connected())
    except OSError as error:  # also a TimeoutError
        if error.filename:
            sys.exit(f"{error.strerror}: {error.filename}")
        name = type(error).__name__
        sys.exit(f"the database does not answer ({name}): check FASTCORE_MIGRATION_DATABASE_URL")
    except asyncpg.PostgresError as error:
        sys.exit(f"the database refused a step (SQLSTATE {error.sqlstate}); see its log, then run this again")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app()
