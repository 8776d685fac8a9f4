"""The doctor's commands: run every check, or read the live state. Exit with 1 if something failed."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from deploy.cli.doctor.broker import check_broker_clock, check_offsets, count_members
from deploy.cli.doctor.check_result import CheckResult, fail
from deploy.cli.doctor.cluster import check_kafka
from deploy.cli.doctor.database import check_database
from deploy.cli.doctor.deliverability import check_deliverability
from deploy.cli.doctor.dependencies import check_mail, check_services
from deploy.cli.doctor.settings import check_disk, check_settings, read_settings, read_sites_file
from deploy.cli.doctor.status.live_state import read_live_state
from deploy.settings import DoctorSettings, ReplicationSettings
from runtime import event_loop
from runtime.database.postgres import open_pool
from runtime.failures import Failure
from runtime.settings import Debug, Kafka, Postgres
from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites
from services.admin.settings import Settings as Admin
from services.notifier.settings import Settings as Notifier
from services.notifier.settings import Smtp

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
Read = Callable[[Console | None], Coroutine[Any, Any, list[CheckResult]]]
# Far above the time limits of the single checks, so it only ends a check that hangs.
TIMEOUT_SECONDS = 120.0


async def run_checks() -> AsyncIterator[CheckResult]:
    """Run all checks, one dependency after the other, and yield each result."""
    sites = read_sites_file()
    for result in check_settings(sites):
        yield result
    kafka, postgres = read_settings(Kafka), read_settings(Postgres)
    smtp, admin = read_settings(Smtp), read_settings(Admin)
    configured = read_settings(ReplicationSettings)
    default: int = ReplicationSettings.model_fields["replication"].default
    replication = default if isinstance(configured, str) else configured.replication
    groups_of_checks = []
    if isinstance(kafka, Kafka):
        groups_of_checks.append(check_kafka(kafka, replication))
    if isinstance(postgres, Postgres):
        groups_of_checks.append(_check_database_and_offsets(postgres, kafka, sites))
    if isinstance(admin, Admin):
        groups_of_checks.append(check_services(admin))
    if isinstance(smtp, Smtp):
        groups_of_checks.append(check_mail(smtp))
    groups_of_checks.append(_check_deliverability(sites))
    for checks in groups_of_checks:
        async for result in checks:
            yield result
    for result in check_disk():
        yield result


async def _check_deliverability(sites: Sites | SitesFileError | None) -> AsyncIterator[CheckResult]:
    """Check the senders' domains and sample mails, if the environment has the notifier's settings."""
    notifier, doctor, debug = read_settings(Notifier), read_settings(DoctorSettings), read_settings(Debug)
    if isinstance(doctor, str):
        yield fail("settings", f"doctor: {doctor}", "correct the variable that the message names")
    elif isinstance(notifier, Notifier) and not isinstance(sites, SitesFileError):
        is_debug = isinstance(debug, Debug) and debug.on
        async for result in check_deliverability(notifier, sites or Sites(), doctor, debug=is_debug):
            yield result


async def _check_database_and_offsets(
    postgres: Postgres, kafka: Kafka | str, sites: Sites | SitesFileError | None
) -> AsyncIterator[CheckResult]:
    """Check the database, the groups' offsets and the broker's clock.

    Only the database is checked if Kafka cannot be queried, or if no group has a member.
    """
    members = 0 if isinstance(kafka, str) else await count_members(kafka)
    async with open_pool(postgres, "doctor") as pool:
        # Two admin services, because both run while one replaces the other.
        destinations = sites.destinations if isinstance(sites, Sites) else None
        async for result in check_database(pool, postgres, members + 2, destinations):
            yield result
        if isinstance(kafka, str) or not members:
            return
        async for result in check_offsets(kafka, pool):
            yield result
    async for result in check_broker_clock(kafka):
        yield result


async def run_checks_with_timeout() -> AsyncIterator[CheckResult]:
    """Run all checks within the time limit. If an error ends them early, yield it as a failed check."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            async for result in run_checks():
                yield result
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        yield fail("doctor", f"ended early: {reason}", "correct what failed above, then run it again")


async def _run_checks(console: Console | None) -> list[CheckResult]:
    results = list[CheckResult]()
    async for result in run_checks_with_timeout():
        results.append(result)
        if console:
            print_result(console, result)
    return results


async def _read_status(console: Console | None) -> list[CheckResult]:
    results = await read_live_state()
    if console:
        for result in results:
            print_result(console, result)
    return results


def _report(
    read: Callable[[Console | None], Coroutine[Any, Any, list[CheckResult]]], *, as_json: bool
) -> None:
    """Print the results as lines or as JSON, and exit with 1 if one of them is a failure."""
    # A server that the driver cannot reach is a result of a check, so the driver's own log is noise.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    results = event_loop.run(read(None if as_json else Console()))
    counts = Counter({"ok": 0, "warn": 0, "fail": 0})
    counts.update(result.level for result in results)
    if as_json:
        print(json.dumps({**counts, "findings": [asdict(result) for result in results]}, indent=2))
    else:
        print(f"{counts['ok']} ok, {counts['warn']} warnings, {counts['fail']} failed")
    if counts["fail"]:
        sys.exit(1)


def print_result(console: Console, result: CheckResult) -> None:
    """Print a check's result and, on the next line, what the operator should do."""
    colour = COLOURS[result.level]
    line = f"[{colour}]{result.level:4}[/]  {result.check:14} {escape(result.seen)}"
    console.print(line, soft_wrap=True, highlight=False)
    if result.todo:
        console.print(f"{'':22}-> {escape(result.todo)}", soft_wrap=True, highlight=False)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def check(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Check a running installation against the production checklist of docs/operations.md.

    Reads the services' settings from the environment and .env, and queries Kafka, PostgreSQL, the mail
    server, DNS and each service. Changes nothing: it sends no email, writes no record and prints no secret.

    Each line shows the level of one check and what the check observed. The level is ok, warn (works, but not
    as production should) or fail. The next line says what to do. Exits with 1 if a check failed, else with 0.

    --json prints one object: the counts "ok", "warn" and "fail", and the list "findings". Each finding has
    "check", "level", "seen" and "todo".

    make doctor                                        the stack that `make up` started
    docker compose run --rm doctor                     the composed stack
    python -m deploy.cli.doctor                        the installation that the environment names

    The command `status` shows only the live state.
    """
    if context.invoked_subcommand is None:
        _report(_run_checks, as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show what fails now, and why: what the runbooks ask first.

    Reads each service, each gateway's spool, the lag of the consumer groups, and from PostgreSQL the paused
    stages, failed records, jobs, destinations, emails, canaries and incidents. Works while any of them is
    down, within half a minute. Prints no personal data. Lines, JSON and exit code are as without a command.

    make doctor a=status                               the stack that `make up` started
    docker compose run --rm doctor status              the composed stack
    kubectl -n leads exec deploy/leads-fastcore-admin -- python -m deploy.cli.doctor status
    """
    _report(_read_status, as_json=as_json)


if __name__ == "__main__":
    app()
