"""The composed stack in order: it starts, accepts a lead, scales, loses a container and stops.

Run by `make test-compose`; not collected by `make test`, which needs no engine.
"""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.embedded.servers.standalone import free_ports
from tests.compose.load import Load
from tests.compose.project import ADMIN_TOKEN, INGEST_TOKEN, ROOT, Project, running_project
from tests.support.wait import eventually

pytestmark = pytest.mark.timeout(600)

SERVICES = ("ingest", "persister", "notifier", "webhooks", "flusher", "admin")
LEAD = {"name": "Ada Lovelace", "email": "ada@example.com", "service": "Hosting", "message": "Call me."}
GRACE_SECONDS = 60


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with running_project() as running:
        yield running


def test_image_runs_as_non_root_without_compiler_and_writes_to_volumes(project: Project) -> None:
    for service in SERVICES:
        (container,) = project.containers(service)
        known = project.inspect(container)
        assert known["Config"]["User"] == "10001:10001"
        assert known["HostConfig"]["ReadonlyRootfs"]
        assert known["HostConfig"]["CapDrop"] == ["ALL"]
        assert known["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        assert known["HostConfig"]["Memory"] > 0
        assert not known["HostConfig"]["PortBindings"], f"{service} can be reached past the edge"
    found = project.compose("exec", "-T", "ingest", "sh", "-c", "command -v gcc cc c++ make ld || echo none")
    assert found.strip() == "none"


def test_the_production_image_has_only_packages_of_production(project: Project) -> None:
    program = Path(__file__).with_name("imports.py").read_text()
    found = json.loads(project.docker("run", "--rm", "-i", "fastcore:test", "python", "-", text=program))
    assert found["modules"] > 500
    assert {name.split(".")[1] for name in found["failed"]} == {"embedded"}, found["failed"]
    assert found["installed"] == []
    # The mailbox has what it needs in an image of its own.
    project.compose("exec", "-T", "mailbox", "python", "-c", "import aiosmtpd")


def test_only_loopback_is_published(project: Project) -> None:
    for service in ("edge", "mailbox"):
        bindings = project.inspect(project.containers(service)[0])["HostConfig"]["PortBindings"]
        assert {each["HostIp"] for pairs in bindings.values() for each in pairs} == {"127.0.0.1"}


def test_the_image_alone_names_in_one_line_what_it_lacks(project: Project) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "fastcore:test"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "FASTCORE_SITE_INGEST_TOKEN", "SMTP_HOST"):
        assert name in done.stderr


async def test_a_lead_goes_in_and_the_admin_s_answer_out(project: Project) -> None:
    async with project.client() as client:
        answer = await client.post(
            "/inbound/leads", json=LEAD, headers={"Authorization": f"Bearer {INGEST_TOKEN}"}
        )
    assert answer.status_code == 201, answer.text
    lead_id = answer.json()["leadId"]

    async def mails() -> list[str]:
        return sorted(
            one for mail in await project.mails() if lead_id in mail["message_id"] for one in mail["to"]
        )

    arrived = await eventually(mails, until=lambda to: len(to) == 2, seconds=60, what="both mails")
    assert arrived == ["ada@example.com", "admin@fastcore.example"]

    async def known() -> int:
        return (await project.admin("GET", f"/admin/leads/{lead_id}")).status_code

    await eventually(known, until=lambda status: status == 200)
    changed = await project.admin("PATCH", f"/admin/leads/{lead_id}/status?new_status=processing")
    assert changed.status_code == 200, changed.text
    shown = (await project.admin("GET", f"/admin/leads/{lead_id}")).json()
    assert shown["lead"]["status"] == "processing"


async def test_every_documented_address_answers_at_the_edge(project: Project) -> None:
    async with project.client() as client:
        for path in ("/docs", "/openapi.json", "/livez", "/readyz", "/metrics", "/admin/docs"):
            assert (await client.get(path)).status_code == 200, path
        for path in (
            "/internal/status",
            "//internal/status",
            "/x/%2e%2e/internal/status",
            "/Internal/status",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert answer.headers["content-type"] == "application/problem+json"
    stats = (await project.admin("GET", "/admin/queue/stats")).json()
    assert [each["state"] for each in stats["gateways"]] == ["up"]
    await project.healthy()


async def test_with_a_domain_the_edge_speaks_https_and_keeps_metrics_to_itself(project: Project) -> None:
    # Caddy signs the certificate of localhost itself. For any other name it requests one from an authority.
    (port,) = free_ports(1)
    publish = ("--detach", "--no-deps", "--publish", f"127.0.0.1:{port}:443")
    edge = project.compose(
        "run",
        *publish,
        "edge",
        FASTCORE_DOMAIN="localhost",
        FASTCORE_COMPOSE_OWNER_PASSWORD="fastcore_owner",
        FASTCORE_COMPOSE_DATABASE_PASSWORD="fastcore",
    ).strip()
    try:
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=False) as client:  # noqa: S501

            async def alive() -> int:
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get("/livez")).status_code
                return 0

            await eventually(alive, until=lambda status: status == 200, seconds=30)
            assert (await client.get("/admin/docs")).status_code == 200
            for path in ("/metrics", "/internal/status"):
                assert (await client.get(path)).status_code == 404, path
    finally:
        project.docker("rm", "--force", edge)


async def _shared(project: Project, service: str, members: int) -> None:
    async def held() -> list[list[int]]:
        return await asyncio.to_thread(project.assignments, service)

    def even(shares: list[list[int]]) -> bool:
        whole = sorted(partition for share in shares for partition in share)
        return whole == [0, 1, 2, 3, 4, 5] and {len(share) for share in shares} == {6 // members}

    await eventually(
        held, until=even, seconds=60, every=0.5, what=f"six partitions on {members} of {service}"
    )


async def test_consumers_scale_under_load_and_share_all_partitions(project: Project) -> None:
    load = Load(project, mails=False)
    await asyncio.gather(load.post(1500), asyncio.to_thread(project.up, persister=3, notifier=2))
    await load.stored()

    await _shared(project, "persister", 3)
    await _shared(project, "notifier", 2)
    assert len(project.containers("persister")) == 3


async def test_gateways_scale_and_are_upgraded_without_a_refused_lead(project: Project) -> None:
    load, ended = Load(project, mails=False), asyncio.Event()

    async def change() -> None:
        await asyncio.to_thread(project.up, ingest=3, persister=2)
        await asyncio.to_thread(project.up, ingest=1, persister=2)
        await asyncio.to_thread(project.build, "next")
        await asyncio.to_thread(project.run, "sh", "deploy/compose/upgrade.sh")
        ended.set()

    await asyncio.gather(load.post_until(ended, at_once=4), change())
    assert load.repeated == 0, f"{load.repeated} of {load.posted} first attempts were refused"
    assert {project.version(service) for service in SERVICES} == {"next"}
    assert [len(project.containers(service)) for service in ("ingest", "persister")] == [1, 2]
    await load.stored()


def test_each_server_is_reached_only_by_those_who_need_it(project: Project) -> None:
    def reached(service: str, host: str, port: int) -> bool:
        program = f"import socket; socket.create_connection(('{host}', {port}), 2)"
        try:
            project.compose("exec", "-T", service, "python", "-c", program)
        except AssertionError:
            return False
        return True

    assert reached("persister", "postgres", 5432)
    assert reached("ingest", "kafka", 9092)
    assert not reached("ingest", "postgres", 5432)
    assert not reached("mailbox", "kafka", 9092)
    assert not reached("mailbox", "ingest", 8001)


def test_no_service_receives_another_one_s_secrets(project: Project) -> None:
    for service in ("ingest", "persister", "notifier"):
        given = project.compose("exec", "-T", service, "env")
        assert "FASTCORE_ADMIN_TOKEN" not in given
        assert "fastcore_owner" not in given
    assert "DATABASE_URL" not in project.compose("exec", "-T", "ingest", "env")


def test_with_a_mail_server_there_is_no_mailbox(project: Project) -> None:
    services = project.compose("config", "--services", SMTP_HOST="smtp.example.com").split()
    assert "notifier" in services
    assert "mailbox" not in services


def test_a_domain_needs_passwords_of_its_own(project: Project) -> None:
    with pytest.raises(AssertionError, match=r"FASTCORE_COMPOSE_(OWNER|DATABASE)_PASSWORD is missing"):
        project.compose("config", "--quiet", FASTCORE_DOMAIN="leads.example.com")


def test_the_edge_refuses_a_caddy_that_loses_retried_posts(project: Project) -> None:
    script = ROOT / "deploy/compose/edge.sh"
    old = "caddy() { echo v2.11.1 h1:x; }; "
    done = subprocess.run(
        ["sh", "-c", old + script.read_text()], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.returncode == 1
    assert "Caddy 2.11.1" in done.stderr


async def test_a_failed_request_is_logged_at_the_edge_without_personal_data(project: Project) -> None:
    project.compose("stop", "admin")
    try:
        answer = await project.admin("GET", "/admin/leads?q=grace@example.com")
        assert answer.status_code in (502, 503)
    finally:
        project.compose("start", "admin")
    log = project.compose("logs", "--no-log-prefix", "edge")
    assert '"status":50' in log
    assert "grace@example.com" not in log
    assert ADMIN_TOKEN not in log
    await project.healthy()


def test_a_backup_was_restored_and_is_a_job_of_the_dashboard(project: Project) -> None:
    (migrate,) = project.containers("migrate")
    migrated = project.inspect(migrate)["State"]["StartedAt"]
    made = project.compose("--profile", "backup", "run", "--rm", "backup", "once")
    assert "Backed up and restored: /var/lib/postgresql/data/fastcore-" in made
    ((outcome, leads),) = project.sql(
        "SELECT last_outcome, last_details->>'leads' FROM scheduled_job WHERE name = 'backup'"
    )
    assert outcome == "succeeded"
    assert int(leads) > 0
    # A backup before an upgrade must not migrate.
    assert project.containers("migrate") == [migrate]
    assert project.inspect(migrate)["State"]["StartedAt"] == migrated


async def test_a_container_killed_under_load_loses_nothing(project: Project) -> None:
    load, ended = Load(project), asyncio.Event()

    async def killer() -> None:
        async def posted() -> int:
            return load.posted

        for service in ("persister", "ingest"):
            seen = load.posted
            await eventually(posted, until=lambda n: n > seen + 40, seconds=60)  # noqa: B023
            victim = project.containers(service)[0]
            await asyncio.to_thread(project.docker, "kill", victim)
            await asyncio.sleep(1)  # its absence is the fault
            await asyncio.to_thread(project.docker, "start", victim)
        ended.set()

    await asyncio.gather(load.post_until(ended), killer())
    await load.stored()
    await load.mailed()
    await project.healthy()
    await project.balanced()


def test_going_down_drains_within_the_grace_period(project: Project) -> None:
    before = [c for service in SERVICES for c in project.containers(service)]
    started = time.monotonic()
    project.compose("stop")
    assert time.monotonic() - started < GRACE_SECONDS
    states: list[dict[str, Any]] = [project.inspect(each)["State"] for each in before]
    # 0, or 143 where uvicorn ends by the signal itself; 137 would be a kill.
    assert {state["ExitCode"] for state in states} <= {0, 143}
