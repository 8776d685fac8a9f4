"""The canary's page, its route of the API and its gauges, over rows that the hops wrote."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from runtime.database.postgres import open_pool
from runtime.settings import Postgres, SitesFile
from runtime.transparency_log.signed_note import SigningKey, open_note
from services.admin.monitoring import canaries
from services.admin.monitoring.canaries import CanaryGauges
from tests.support.services.admin import TOKEN, Admin
from tests.support.services.canaries import RUN_OF_THE_JOB, add_run
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        await sign_in(running)
        yield running


def failures(**labels: str) -> float | None:
    return REGISTRY.get_sample_value("fastcore_canary_failures", labels)


async def test_the_page_shows_what_was_observed_at_each_hop(admin: Admin, db: Any) -> None:
    assert "The canary is off" in (await admin.client.get("/admin/canary")).text
    await db.execute(RUN_OF_THE_JOB, 3)
    assert "No test lead yet" in (await admin.client.get("/admin/canary")).text
    await add_run(db, smtp="smtp 535 5.7.8 at <login>")
    page = (await admin.client.get("/admin/canary")).text
    assert "smtp 535 5.7.8 at &lt;login&gt;" in page
    assert (page.count("Works"), page.count("Failing")) == (8, 2)
    assert "nothing is tested" not in page
    await db.execute("UPDATE scheduled_job SET next_run_at = now() - interval '4 minutes'")
    assert "nothing is tested" in (await admin.client.get("/admin/canary")).text


async def test_a_removed_site_is_not_shown_any_more(admin: Admin, db: Any) -> None:
    await db.execute(RUN_OF_THE_JOB, 3)
    await add_run(db, site="gone")
    await add_run(db)
    await db.execute("UPDATE canary SET sent_at = sent_at - interval '3 minutes' WHERE site = 'gone'")
    answer = await admin.client.get("/admin/canary/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert [each["site"] for each in answer.json()["routes"]] == ["studio"]


async def test_the_public_status_is_signed_and_says_only_the_state(
    postgres: Postgres, stack: Stack, db: Any, tmp_path: Path
) -> None:
    file, key = tmp_path / "sites.toml", SigningKey.generate("status.example.com")
    file.write_text("[sites.studio]\npublic_status = true\n[sites.shop]\n")
    settings = {"sites_file": SitesFile(path=file), "canary_status_key": key.text()}
    async with running_dashboard(postgres, stack, **settings) as admin:
        for state, smtp in (("ok", ""), ("ok", "smtp 535"), ("failing", "smtp 535")):
            await db.execute("UPDATE canary SET sent_at = sent_at - interval '3 minutes'")
            await db.execute("DELETE FROM scheduled_job")
            await db.execute(RUN_OF_THE_JOB, 3)
            await add_run(db, smtp=smtp)
            admin.app.state.cache.invalidate("public canary")
            answer = (await admin.client.get("/admin/canary/public/studio")).json()
            signed = json.loads(open_note(answer.pop("note"), [key.verification_key()]))
            assert signed == answer
            assert (answer["site"], answer["state"]) == ("studio", state)
            assert set(answer) == {"site", "state", "tested_at", "signed_at"}
        for site in ("shop", "nobody"):
            assert (await admin.client.get(f"/admin/canary/public/{site}")).status_code == 404


async def test_gauges_count_failures_in_a_row_and_forget_what_works_again(
    postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauges = CanaryGauges()
    async with open_pool(postgres, "test") as pool:
        await db.execute(RUN_OF_THE_JOB, 3)
        await add_run(db, smtp="smtp 421 at mail")
        await db.execute("UPDATE canary SET sent_at = sent_at - interval '3 minutes'")
        await add_run(db, smtp="smtp 421 at mail")
        await gauges.update(pool)
        assert failures(site="studio", route="form", hop="smtp") == 2
        assert failures(site="studio", route="form", hop="kafka") == 0
        await db.execute("UPDATE canary SET sent_at = sent_at - interval '3 minutes'")
        await add_run(db)
        await gauges.update(pool)
        assert failures(site="studio", route="form", hop="smtp") == 0

        monkeypatch.setattr(canaries, "DATABASE_SECONDS", -1.0)
        gauges.database_unavailable()
        assert failures(site="", route="", hop="postgresql") == 2
        assert failures(site="studio", route="form", hop="smtp") is None
        monkeypatch.setattr(canaries, "OVERDUE_GRACE_SECONDS", -1.0)
        await db.execute("UPDATE scheduled_job SET next_run_at = now() - interval '4 minutes'")
        await gauges.update(pool)
        assert failures(site="", route="", hop="flusher") == 2
        assert failures(site="", route="", hop="postgresql") is None
