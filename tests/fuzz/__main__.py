"""`python -m tests.fuzz`: fuzz a whole installation, and prove that no accepted lead is lost."""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer

from tests.fuzz.checker import AcceptedLeads, FuzzFailure
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.installation import FORM_KEY, ORIGIN, fuzzed_installation, run_ledger, wait_until_stored
from tests.fuzz.openapi import Api, run_schemathesis
from tests.support.services.installation import ADMIN_TOKEN, HOOK_KEY, INGEST_TOKEN, Installation
from tests.support.stack import running_stack

# Shares of the time: Hypothesis on the three entry points, Schemathesis on the two documents.
INBOUND_SHARE: Final = 0.5
OPENAPI_SHARES: Final = {"ingest": 0.2, "admin": 0.3}
NAMED_AT_MOST: Final = 5
STORE_SECONDS: Final = 300


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to send requests.")] = 10,
    seed: Annotated[int | None, typer.Option(help="Repeats the generated requests of a run.")] = None,
) -> None:
    """Fuzz the gateway and the admin service, and compare the accepted leads with what is stored.

    Exits with 1 after a 5xx, after an error that repeats the request, if a lead is lost, or if the ledger
    does not balance, and prints a request that reproduces it.
    """
    os.environ.setdefault("FASTCORE_TEST_PARTS", "embedded")
    seed = random.randrange(2**31) if seed is None else seed
    typer.echo(f"seed {seed}: {minutes:g} minutes")
    with (
        tempfile.TemporaryDirectory(prefix="fastcore-fuzz-") as folder,
        running_stack(Path(folder)) as stack,
    ):

        async def run() -> bool:
            async with fuzzed_installation(stack, Path(folder)) as installation:
                accepted = AcceptedLeads(Path(folder) / "accepted.jsonl")
                answered = await asyncio.to_thread(
                    _fuzz, installation, accepted, Path(folder), minutes * 60, seed
                )
                return await _compare(installation, accepted.read()) and answered

        is_kept = asyncio.run(run())
    if not is_kept:
        sys.exit(
            f"a promise is broken; repeat the run: python -m tests.fuzz --seed {seed} --minutes {minutes:g}"
        )
    typer.echo("no 5xx, no echo, and every accepted lead is stored")


def _fuzz(
    installation: Installation, accepted: AcceptedLeads, folder: Path, seconds: float, seed: int
) -> bool:
    """Send requests for so many seconds. Return False if a response broke a promise."""
    is_kept = _fuzz_inbound(installation, accepted, seconds * INBOUND_SHARE, seed)
    services = installation.services
    apis = (
        Api(
            "ingest",
            services["ingest"].url,
            INGEST_TOKEN,
            {"Origin": ORIGIN},
            {"path.form_key": FORM_KEY, "path.hook_key": HOOK_KEY},
        ),
        Api("admin", services["admin"].url, ADMIN_TOKEN),
    )
    for api in apis:
        budget = max(1, round(seconds * OPENAPI_SHARES[api.name]))
        typer.echo(f"Schemathesis on docs/openapi/{api.name}.json: {budget} s")
        is_kept = run_schemathesis(api, accepted, folder, budget, seed) and is_kept
    return is_kept


def _fuzz_inbound(installation: Installation, accepted: AcceptedLeads, seconds: float, seed: int) -> bool:
    typer.echo(f"Hypothesis on the entry points of leads: {seconds:.0f} s")
    began = time.monotonic()
    with httpx.Client(base_url=installation.services["ingest"].url, timeout=30) as client:
        fuzzer = Fuzzer(client, accepted)
        try:
            fuzzer.run(seconds, seed)
        except FuzzFailure as failure:
            typer.echo("\n".join([f"FAILED: {failure}", *getattr(failure, "__notes__", ())]))
            return False
        finally:
            for route, counts in fuzzer.counts.items():
                statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(counts.items()))
                typer.echo(f"  {route}: {counts.total():,} requests: {statuses}")
            typer.echo(f"  in {time.monotonic() - began:.0f} s")
    return True


async def _compare(installation: Installation, accepted: dict[str, str]) -> bool:
    """Compare the accepted leads with the tables. Return True if nothing is lost and the ledger balances."""
    lost = await wait_until_stored(installation, accepted, STORE_SECONDS)
    rows = await installation.fetch(
        "SELECT (SELECT count(*) FROM lead_inbox) AS inbox, (SELECT count(*) FROM replay_queue) AS queue"
    )
    typer.echo(
        f"{len(accepted):,} leads accepted, {len(lost):,} lost;"
        f" {rows[0]['inbox']:,} rows in lead_inbox, {rows[0]['queue']:,} in replay_queue"
    )
    for lead_id, request in lost[:NAMED_AT_MOST]:
        typer.echo(f"LOST: {lead_id}, accepted for\n  {request}")
    return await run_ledger(installation) == 0 and not lost


if __name__ == "__main__":
    typer.run(main)
