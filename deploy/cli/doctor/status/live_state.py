"""Reads the whole live state. What does not answer is a result, and delays nothing else."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from pydantic_settings import BaseSettings

from contracts.reasons import Reason
from deploy.cli.doctor.check_result import CheckResult, warn
from deploy.cli.doctor.settings import read_settings, read_sites_file
from deploy.cli.doctor.status.database import read_database
from deploy.cli.doctor.status.kafka import read_kafka
from deploy.cli.doctor.status.processes import read_processes
from deploy.settings import missing_variables
from runtime.settings import Kafka, Postgres
from runtime.sites.model import Sites
from services.admin.settings import Settings as Admin

# Above the waits of each part, so that it ends only what hangs.
TIMEOUT_SECONDS: Final = 30.0


async def read_live_state() -> list[CheckResult]:
    """Return what fails now in the installation that the environment names, within `TIMEOUT_SECONDS`.

    What the environment does not name is a warning with the variable.
    """
    file = read_sites_file()
    sites = file if isinstance(file, Sites) else None
    kafka, postgres, admin = read_settings(Kafka), read_settings(Postgres), read_settings(Admin)
    reads: list[tuple[str, Coroutine[Any, Any, list[CheckResult]] | str]] = [
        ("kafka", read_kafka(kafka) if isinstance(kafka, Kafka) else _why(kafka, Kafka)),
        (
            "database",
            read_database(postgres, sites) if isinstance(postgres, Postgres) else _why(postgres, Postgres),
        ),
        ("services", read_processes(admin) if isinstance(admin, Admin) else _why(admin, Admin)),
    ]
    parts = await asyncio.gather(*(_read(name, read) for name, read in reads))
    return [result for part in parts for result in part]


def _why(error: str, settings: type[BaseSettings]) -> str:
    missing = missing_variables(settings)
    return f"not set here: {', '.join(missing)}" if missing else error


async def _read(name: str, read: Coroutine[Any, Any, list[CheckResult]] | str) -> list[CheckResult]:
    if isinstance(read, str):
        return [warn(name, f"not read: {read}", "run it where it is set, such as in a container of admin")]
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await read
    except TimeoutError:
        return [warn(name, f"no result within {TIMEOUT_SECONDS:.0f} s", "run it again")]
    except Exception as error:  # noqa: BLE001 - a bug in one part must not hide the others
        return [warn(name, f"not read: {Reason.BUG.format(exception=type(error).__name__)}", "report it")]
