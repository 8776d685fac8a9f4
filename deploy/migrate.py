"""`python -m deploy.migrate`: apply the numbered SQL files once, then grant the services their rights.

The smallest possible runner: plain files, one transaction each, an advisory lock, a checksum.
"""

import asyncio
import hashlib
import ssl
import sys
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg
import typer
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from runtime.settings import DatabaseUrl, Debug, load, named, section

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x66617374636F7265  # "fastcore"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Settings(BaseSettings):
    """The owner's URL migrates; the services' URL names the role to grant to."""

    model_config = section()
    # Not the section Debug: a field of that name would itself be read from the variable.
    debug: bool = Field(
        default=False, validation_alias=named("DEBUG"), description=Debug.model_fields["on"].description
    )
    database_url: DatabaseUrl = Field(validation_alias=named("DATABASE_URL"))
    migration_database_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias=named("FASTCORE_MIGRATION_DATABASE_URL"),
        examples=["postgresql://fastcore_owner:password@127.0.0.1:5432/fastcore"],
    )
    """The owner's role, read by migrate only. By default DATABASE_URL, which needs DEBUG=true."""

    @model_validator(mode="after")
    def _two_roles(self) -> "Settings":
        if self.migration_database_url is None and not self.debug:
            msg = (
                "FASTCORE_MIGRATION_DATABASE_URL is missing: give the owner's URL, so that the services' "
                "role in DATABASE_URL cannot alter the audit log (only DEBUG=true lets one role do both)"
            )
            raise ValueError(msg)
        return self


async def migrate(owner_url: str, service_url: str) -> list[str]:
    """Bring the database up to date and return the names of the files applied.

    Safe to run by several processes at once. Raises `RuntimeError` where an applied file has changed.
    """
    connection = await asyncpg.connect(owner_url, timeout=10, command_timeout=600)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        applied = await _apply(connection)
        await _grant(connection, service_url)
        return applied
    finally:
        await connection.close(timeout=5)


async def _apply(connection: Connection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migration")
    known = {row["name"]: row["sha256"] for row in rows}
    applied = []
    for path in sorted(MIGRATIONS.glob("[0-9]*.sql")):
        sql = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if path.name in known:
            if known[path.name] != digest:
                raise RuntimeError(f"{path.name} was changed after it was applied: add a new file instead")
            continue
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute(
                "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)", path.name, digest
            )
        applied.append(path.name)
    return applied


async def _grant(connection: Connection, service_url: str) -> None:
    """Create the services' role where we may, and give it what the services need and no more."""
    parts = urlsplit(service_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not role or role == await connection.fetchval("SELECT current_user"):
        return
    name, secret = await connection.fetchrow("SELECT quote_ident($1), quote_literal($2)", role, password) or (
        "",
        "",
    )
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD {secret}")
    # No DELETE anywhere: rows are what the books count.
    await connection.execute(
        f"""
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name};
        GRANT USAGE ON SCHEMA public TO {name};
        GRANT SELECT, INSERT, UPDATE ON lead_inbox, email_delivery, replay_queue, scheduled_job,
            partition_ledger, stage_control, queue_replay, queue_replay_item TO {name};
        GRANT SELECT, INSERT ON audit_log TO {name};
        GRANT SELECT ON schema_migration, row_count, queue_replay_result TO {name};
        """
    )


def main(
    quiet: Annotated[bool, typer.Option(help="Print nothing where there is nothing to do.")] = False,
) -> None:
    """Apply the migrations under deploy/migrations that the database does not have yet."""
    settings = load(Settings)
    service_url = settings.database_url.get_secret_value()
    owner = settings.migration_database_url or settings.database_url
    try:
        applied = asyncio.run(migrate(owner.get_secret_value(), service_url))
    except ssl.SSLCertVerificationError:
        sys.exit(
            "the database's certificate is not from the authority in sslrootcert, or for another name:"
            " check FASTCORE_MIGRATION_DATABASE_URL"
        )
    except (OSError, TimeoutError) as error:
        sys.exit(
            f"the database does not answer ({type(error).__name__}): check FASTCORE_MIGRATION_DATABASE_URL"
        )
    except asyncpg.PostgresError as error:
        sys.exit(f"the database refused a migration: {error.args[0]}")
    except RuntimeError as error:
        sys.exit(str(error))
    for name in applied:
        print(f"applied {name}")
    if not applied and not quiet:
        print("the database is up to date")


if __name__ == "__main__":
    typer.run(main)
