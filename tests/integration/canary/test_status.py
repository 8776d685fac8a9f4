"""What the page and the public status say in rare states: other intervals, no sites, no database."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres, SitesFile
from runtime.transparency_log.signed_note import SigningKey
from services.admin.monitoring.canaries import read_canaries
from services.admin.schemas.canary import CanaryStatus
from tests.support.services.admin import Admin
from tests.support.services.canaries import RUN_OF_THE_JOB, add_canary, add_run
from tests.support.services.dashboard import running_dashboard
from tests.support.stack import Stack

URL = "/admin/canary/public/studio"


async def read(postgres: Postgres) -> CanaryStatus:
    async with open_pool(postgres, "test") as pool:
        return await read_canaries(pool)


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    """Run an admin service where the site studio has a public status."""
    file = tmp_path / "sites.toml"
    file.write_text("[sites.studio]\npublic_status = true\n")
    key = SigningKey.generate("status.example.com").text()
    async with running_dashboard(
        postgres, stack, sites_file=SitesFile(path=file), canary_status_key=key
    ) as running:
        yield running


async def test_canaries_that_are_sent_rarely_are_counted_in_a_row(postgres: Postgres, db: Any) -> None:
    await db.execute(RUN_OF_THE_JOB, 60)
    for smtp in ("", "smtp 535", "smtp 535"):
        await db.execute("UPDATE canary SET sent_at = sent_at - interval '2 hours'")
        await add_run(db, smtp=smtp)
    (route,) = (await read(postgres)).routes
    (hop,) = route.failing
    assert (hop.hop, hop.failures) == ("smtp", 2)
    assert hop.last_worked_at is not None  # in the canary before


async def test_a_hop_that_has_not_worked_for_a_day_has_no_time(postgres: Postgres, db: Any) -> None:
    await db.execute(RUN_OF_THE_JOB, 3)
    await add_run(db, smtp="smtp 535")
    (route,) = (await read(postgres)).routes
    worked = {hop.hop: hop.last_worked_at is not None for hop in route.hops}
    assert (worked.pop("smtp"), set(worked.values())) == (False, {True})


async def test_after_the_last_site_is_removed_nothing_fails(postgres: Postgres, db: Any) -> None:
    await db.execute(RUN_OF_THE_JOB, 3)
    await add_run(db, smtp="smtp 535")
    assert len((await read(postgres)).routes) == 1
    await db.execute(
        "UPDATE scheduled_job SET last_outcome = 'succeeded', last_details = $1", {"sent": 0, "refused": 0}
    )
    status = await read(postgres)
    assert (status.is_on, status.routes) == (True, [])


async def test_a_site_is_not_ok_before_its_first_test_lead_is_through(admin: Admin, db: Any) -> None:
    await db.execute(RUN_OF_THE_JOB, 3)
    await add_canary(db, "studio")
    answer = (await admin.client.get(URL)).json()
    assert (answer["state"], answer["tested_at"] is not None) == ("unknown", True)


async def test_without_the_database_the_status_is_unknown_and_cached(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    async def refuse() -> CanaryStatus:
        reads.append(1)
        raise DependencyUnavailable("database", "database does not answer")

    adapters = admin.app.state.adapters
    monkeypatch.setattr(
        admin.app.state, "adapters", adapters.__class__(**vars(adapters) | {"canaries": refuse})
    )
    states = {(await admin.client.get(URL)).json()["state"] for _ in range(20)}
    assert (states, len(reads)) == ({"unknown"}, 1)
