"""The command: run every check, print what was found, and say with the exit code whether one failed."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from deploy.cli.doctor.broker import count_members, examine_broker_clock, examine_places
from deploy.cli.doctor.check_result import Finding, fail
from deploy.cli.doctor.cluster import examine_kafka
from deploy.cli.doctor.database import examine_database
from deploy.cli.doctor.dependencies import examine_mail, examine_services
from deploy.cli.doctor.settings import examine_disk, examine_settings, read
from deploy.settings import ReplicationSettings
from runtime import event_loop
from runtime.database.postgres import open_pool
from runtime.failures import Failure
from runtime.settings import Kafka, Postgres
from services.admin.settings import Settings as Admin
from services.notifier.settings import Smtp

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
# A check that hangs on is itself a finding: each outside has bounds of its own, far below.
CHECK_SECONDS = 120.0


async def examine() -> AsyncIterator[Finding]:
    """Run all checks, one part of the installation after the other."""
    for found in examine_settings():
        yield found
    kafka, postgres, smtp, admin = read(Kafka), read(Postgres), read(Smtp), read(Admin)
    given = read(ReplicationSettings)
    replication = (
        given.replication
        if isinstance(given, ReplicationSettings)
        else ReplicationSettings.model_fields["replication"].default
    )
    parts = []
    if isinstance(kafka, Kafka):
        parts.append(examine_kafka(kafka, replication))
    if isinstance(postgres, Postgres):
        parts.append(_examine_stores(postgres, kafka))
    if isinstance(admin, Admin):
        parts.append(examine_services(admin))
    if isinstance(smtp, Smtp):
        parts.append(examine_mail(smtp))
    for part in parts:
        async for found in part:
            yield found
    for found in examine_disk():
        yield found


async def _examine_stores(postgres: Postgres, kafka: Kafka | str) -> AsyncIterator[Finding]:
    """Look at the database, and at what it and Kafka must agree on."""
    members = 0 if isinstance(kafka, str) else await count_members(kafka)
    async with open_pool(postgres, "doctor") as pool:
        # Two admin services, or one while it is replaced.
        async for found in examine_database(pool, postgres, members + 2):
            yield found
        if isinstance(kafka, str) or not members:
            return
        async for found in examine_places(kafka, pool):
            yield found
    async for found in examine_broker_clock(kafka):
        yield found


async def examine_within_bounds() -> AsyncIterator[Finding]:
    """Run all checks for as long as they may take; what ends them early is a finding, too."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async for found in examine():
                yield found
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        yield fail("doctor", f"ended early: {reason}", "correct what failed above, then run it again")


async def _report(*, as_json: bool) -> Counter[str]:
    console, findings = Console(), list[Finding]()
    async for found in examine_within_bounds():
        findings.append(found)
        if not as_json:
            show(console, found)
    counts = Counter({"ok": 0, "warn": 0, "fail": 0})
    counts.update(found.level for found in findings)
    if as_json:
        print(json.dumps({**counts, "findings": [asdict(found) for found in findings]}, indent=2))
    else:
        print(f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed")
    return counts


def show(console: Console, found: Finding) -> None:
    """Print a finding, and below it what to do."""
    colour = COLOURS[found.level]
    line = f"[{colour}]{found.level:4}[/]  {found.check:14} {escape(found.seen)}"
    console.print(line, soft_wrap=True, highlight=False)
    if found.todo:
        console.print(f"{'':22}-> {escape(found.todo)}", soft_wrap=True, highlight=False)


def main(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document in place of lines.")
    ] = False,
) -> None:
    """Examine a running installation: the production checklist of docs/operations.md, box by box.

    It reads the services' settings from the environment and .env, asks Kafka, PostgreSQL, the mail server and
    each service, and changes nothing: no mail is sent, no record written, no secret printed.

    Each line is a box: ok, warn (works, but not as production should) or fail, what was seen, and below it
    what to do. Ends with 1 where a box fails, else with 0, with --json as without. --json prints one object:
    the counts "ok", "warn" and "fail", and "findings", each with "check", "level", "seen" and "todo".

    make doctor                                        the stack of make up
    docker compose run --rm doctor                     the composed stack
    python -m deploy.cli.doctor                            what the environment names
    """
    # What the driver cannot reach is a finding of ours, in our words.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if event_loop.run(_report(as_json=as_json))["fail"]:
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
