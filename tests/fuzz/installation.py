"""The installation that is fuzzed, and what it has stored."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.fuzz.checker import find_lost
from tests.support.services.installation import (
    ADMIN_TOKEN,
    HOOK_KEY,
    INGEST_TOKEN,
    Installation,
    running_installation,
)
from tests.support.stack import Stack
from tests.support.wait import eventually

FORM_KEY: Final = "studio-4k7w9q2m"
ORIGIN: Final = "https://studio.example"
SECRETS: Final = (INGEST_TOKEN, ADMIN_TOKEN, HOOK_KEY)
# The lags of the admin service are some seconds old.
IDLE_SECONDS: Final = 20
# The limits hold most leads, so that a run does not send 100,000 emails.
SITES: Final = f"""
[sites.studio]
name = "Studio Nord"
form_key = "{FORM_KEY}"
hook_keys = ["sha256:{hashlib.sha256(HOOK_KEY.encode()).hexdigest()}"]
origins = ["{ORIGIN}"]
limits = {{ leads_per_email_per_hour = 3, leads_per_ip_per_hour = 3, form_leads_per_hour = 100 }}
"""


@asynccontextmanager
async def fuzzed_installation(stack: Stack, folder: Path) -> AsyncIterator[Installation]:
    """Start all services with a site that has a form key and a hook key; stop them at the end."""
    sites = folder / "fuzzed-sites.toml"
    sites.write_text(SITES)
    async with running_installation(stack, folder, FASTCORE_SITES_FILE=str(sites)) as installation:
        yield installation


async def wait_until_stored(
    installation: Installation, accepted: dict[str, str], seconds: float
) -> list[tuple[str, str]]:
    """Wait until every accepted lead is stored and the installation is idle. Return the lost leads.

    A lead is lost if it is still not stored after the installation was idle for `IDLE_SECONDS`, or after
    `seconds`. Raises `AssertionError` if all leads are stored, and the installation is not idle in time.
    """
    lost: list[tuple[str, str]] = []
    calm = 0

    async def find_pending() -> list[str]:
        nonlocal lost, calm
        pending = await _find_pending(installation)
        calm = 0 if pending else calm + 1
        inbox = {row["id"] for row in await installation.fetch("SELECT id::text FROM lead_inbox")}
        queue = {row["lead_id"] for row in await installation.fetch("SELECT lead_id::text FROM replay_queue")}
        lost = find_lost(accepted, inbox, queue)
        return [*pending, f"{len(lost)} leads"] if lost and calm <= IDLE_SECONDS else pending

    try:
        await eventually(
            find_pending, until=lambda pending: not pending, seconds=seconds, every=1, what="idleness"
        )
    except AssertionError:
        if not lost:
            raise
    return lost


async def _find_pending(installation: Installation) -> list[str]:
    """Return the consumer groups with a lag, and the gateways with leads in their spool."""
    answer = await installation.admin("GET", "/admin/queue/stats")
    if answer.status_code != 200:
        return [f"/admin/queue/stats: {answer.status_code}"]
    stats: dict[str, Any] = answer.json()
    lags = {group["group"]: group["lag"] for group in stats["groups"]}
    depths = {
        each["url"]: ((each["status"] or {}).get("spool") or {}).get("depth") for each in stats["gateways"]
    }
    return [f"{name}: {number}" for name, number in (lags | depths).items() if number != 0]


async def run_ledger(installation: Installation) -> int:
    """Run `python -m deploy.cli.ledger` against the installation, and return its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli.ledger", env=installation.services["persister"].environment
    )
    return await process.wait()
