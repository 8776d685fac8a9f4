"""Each hop of a site is broken in turn, on real parts: the canary names the one that fails, and only that."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from services.admin.rules.canary_hops import FAILING_AFTER
from tests.support.services.canaries import TABLES
from tests.support.services.installation import Installation, running_installation
from tests.support.services.processes import ServiceProcess
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.http_server import serve
from tests.support.web.plain_http import plain_client

SECRET = "a secret of the tests, 32 bytes long"
# What the flusher knows of the sites. The gateway does not know the form of `lost`, and `elsewhere` has
# another origin there. The websites of `away` and `queued` are broken.
SITES = """
[sites.studio]
form_key = "studio-4k7w9q2m"
origins = ["https://studio.example"]
[sites.lost]
{lost}
[sites.elsewhere]
form_key = "elsewhere-4k7w9q2m"
origins = ["https://{elsewhere}.example"]
[sites.away]
{away}
[sites.queued]
{queued}
[[destinations]]
name = "crm"
kind = "slack"
url = "{url}/lead"
canary_url = "{url}/canary"
allow_private = true
sites = ["studio"]
"""
PERMANENT = {
    ("lost", "form"): {"token": "HTTP 404 unknown-form"},
    ("elsewhere", "form"): {"form": "HTTP 403 wrong-origin"},
    ("away", "website"): {"website": "no answer (ConnectError)"},
    ("queued", "website"): {
        "token": "the website queued it (HTTP 202): the gateway did not take it, or not its token"
    },
}


@dataclass
class Running:
    """The installation, and what its destination answers."""

    installation: Installation
    received: list[str]
    status: int = 200

    def service(self, name: str) -> ServiceProcess:
        return self.installation.services[name]

    async def run_canary(self, *, age_seconds: int = 0) -> None:
        """Let the flusher send the canaries, as if that were so many seconds ago."""
        fetch = self.installation.fetch
        (before,) = await fetch("SELECT runs FROM scheduled_job WHERE name = 'canary'")
        await fetch("UPDATE scheduled_job SET requested_at = now() WHERE name = 'canary'")
        done = (
            "SELECT runs > $1 AND last_outcome = 'succeeded' AS done FROM scheduled_job WHERE name = 'canary'"
        )
        await eventually(lambda: fetch(done, before["runs"]), until=lambda rows: rows[0]["done"], seconds=60)
        if age_seconds:
            await fetch("UPDATE canary SET sent_at = sent_at - make_interval(secs => $1)", age_seconds)

    async def failing(self, site: str, route: str) -> dict[str, str]:
        """Wait until the newest canary of a route is through, and return the hops that fail."""

        async def read() -> dict[str, str] | None:
            answer = await self.installation.admin("GET", "/admin/canary/status")
            assert answer.status_code == 200, answer.text
            for each in answer.json()["routes"]:
                if (each["site"], each["route"]) == (site, route) and each["state"] != "waiting":
                    return {hop["hop"]: hop["reason"] for hop in each["hops"] if hop["failures"]}
            return None

        found = await eventually(read, until=lambda each: each is not None, seconds=60)
        assert found is not None
        return found

    async def named(self, hop: str, *, age_seconds: int = 0) -> str:
        """Send canaries until the studio's form fails at this hop only. Return what was observed."""

        async def only() -> str | None:
            await self.run_canary(age_seconds=age_seconds)
            failing = await self.failing("studio", "form")
            return failing.get(hop) if set(failing) == {hop} else None

        reason = await eventually(only, seconds=120, every=0.5, what=f"a canary that fails at {hop} only")
        assert reason
        return reason

    async def works(self) -> None:
        """Send canaries until the studio's form works."""

        async def good() -> bool:
            await self.run_canary()
            return await self.failing("studio", "form") == {}

        await eventually(good, seconds=120, every=0.5, what="a canary that gets through")


@pytest.fixture
async def running(stack: Stack, tmp_path: Path) -> AsyncIterator[Running]:
    received: list[str] = []
    state: Running | None = None

    async def answer(request: web.Request) -> web.Response:
        received.append(request.path)
        if request.path == "/api/contact":
            return web.json_response({"status": "received"}, status=202)
        return web.Response(status=state.status if state else 200)

    async with serve(answer) as url:
        known = SITES.format(url=url, lost="", elsewhere="other", away="", queued="")
        flusher = SITES.format(
            url=url,
            lost='form_key = "lost-4k7w9q2m"',
            elsewhere="studio",
            away='contact_url = "http://127.0.0.1:9/api/contact"',
            queued=f'contact_url = "{url}/api/contact"',
        )
        (tmp_path / "flusher.toml").write_text(flusher)
        async with running_installation(
            stack,
            tmp_path,
            sites=known,
            FASTCORE_CANARY_SECRET=SECRET,
            FASTCORE_CANARY_CRON="0 0 29 2 *",
            FASTCORE_CANARY_GATEWAY_URL="http://127.0.0.1:9",
        ) as installation:
            service = installation.services["flusher"]
            await service.stop()
            service.environment |= {
                "FASTCORE_SITES_FILE": str(tmp_path / "flusher.toml"),
                "FASTCORE_CANARY_GATEWAY_URL": installation.url,
            }
            service.start()
            await service.ready(60)
            state = Running(installation, received)
            yield state


async def restart(service: ServiceProcess, **changes: str) -> None:
    service.environment |= changes
    service.start()
    await service.ready(60)


async def alerts(running: Running) -> set[str]:
    """Return the hops of the studio's form for which CanaryFailing would fire."""
    async with plain_client() as client:
        page = (await client.get(f"{running.service('admin').url}/metrics")).text
    return {
        sample.labels["hop"]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "fastcore_canary_failures"
        and sample.labels["site"] in ("", "studio")
        and sample.value >= FAILING_AFTER
    }


async def left_no_trace(running: Running) -> None:
    """Check that no table of leads has a canary, and that each stage has counted some."""
    counts = {
        table: (await running.installation.fetch(f"SELECT count(*) FROM {table}"))[0]["count"]
        for table in TABLES
    }
    assert counts == dict.fromkeys(TABLES, 0)
    stats = (await running.installation.admin("GET", "/admin/queue/stats")).json()
    assert stats["books"]["balanced"], stats["books"]
    assert {each["canary"] > 0 for each in stats["books"]["stages"] if each["stage"] != "flusher"} == {True}


async def test_each_broken_hop_is_named_by_what_was_observed(running: Running) -> None:
    await running.works()
    for (site, route), expected in PERMANENT.items():
        assert await running.failing(site, route) == expected
    assert set(running.received) == {"/canary", "/api/contact"}  # the destination got no lead

    running.status = 503
    assert await running.named("destination:crm") == "destination answered 503"
    running.status = 200

    mailbox = running.installation.mailbox
    mailbox.stop()
    assert "smtp" in await running.named("smtp")
    mailbox.start()

    await running.installation.fetch(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$"
    )
    await running.installation.fetch(
        "CREATE TRIGGER refuse BEFORE INSERT ON lead_inbox FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    assert await running.named("postgresql") == "database refused the data (23514)"
    await running.installation.fetch("DROP TRIGGER refuse ON lead_inbox")

    for name in ("persister", "notifier", "webhooks"):
        await running.service(name).stop()
        assert await running.named(name, age_seconds=100) == "wrote nothing within 90 s"
        await restart(running.service(name))
        await running.works()

    gateway = running.service("ingest")
    broker = gateway.environment["KAFKA_BOOTSTRAP_SERVERS"]
    await gateway.stop()
    assert "HTTP 50" in await running.named("gateway")
    await restart(gateway, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert "Kafka did not acknowledge" in await running.named("kafka")
    await gateway.stop()
    await restart(gateway, KAFKA_BOOTSTRAP_SERVERS=broker)
    await running.works()

    await asyncio.sleep(1)
    await left_no_trace(running)


async def test_an_hour_without_kafka_raises_the_alert_which_clears(running: Running) -> None:
    """The hour is twenty canaries: each is sent now, and then moved three minutes into the past."""
    await running.works()
    gateway = running.service("ingest")
    broker = gateway.environment["KAFKA_BOOTSTRAP_SERVERS"]
    await gateway.stop()
    await restart(gateway, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    for _ in range(20):
        await running.run_canary(age_seconds=180)
    await eventually(lambda: alerts(running), until=lambda found: found == {"kafka"}, seconds=60)

    await gateway.stop()
    await restart(gateway, KAFKA_BOOTSTRAP_SERVERS=broker)
    await running.works()
    # The canaries of the hour leave the spool too. They raise no alert, and no service counts them as leads.
    await eventually(lambda: alerts(running), until=lambda found: found == set(), seconds=60)
    spooled = "SELECT count(*) FROM canary_result WHERE hop = 'persister' AND ok"
    await eventually(
        lambda: running.installation.fetch(spooled), until=lambda rows: rows[0]["count"] >= 20, seconds=60
    )
    assert await running.failing("studio", "form") == {}
    await left_no_trace(running)
