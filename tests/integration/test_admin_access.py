"""Who gets into the admin API, how it refuses, and how it lives while the database is away."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from fastapi.routing import APIRoute

from deploy.cli.migrate import migrate
from deploy.embedded.servers.standalone import running_postgres
from runtime.settings import Debug, Kafka, Postgres
from services.admin.auth.token_auth import FAILURES_PER_MINUTE
from tests.support.admin import TOKEN, Admin, running_admin
from tests.support.processes import processes
from tests.support.stack import Stack
from tests.support.wait import eventually

CANARY = "canary-7f3a@example.com"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as running:
        yield running


def routes_of(admin: Admin) -> list[tuple[str, str]]:
    paths = admin.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


async def test_every_admin_route_asks_for_a_token(admin: Admin) -> None:
    routes = [(method, path) for method, path in routes_of(admin) if path.startswith("/admin")]
    assert ("DELETE", "/admin/leads/{lead_id}") in routes
    ids = {"lead_id": uuid4(), "queue_id": uuid4(), "replay_id": uuid4()}
    for method, path in routes:
        concrete = path.format(**ids, kind="welcome", stage="notifier")
        answer = await admin.client.request(method, concrete, headers={"Authorization": ""})
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"Bearer wrong",
        b"Bearer ",
        b"Bearer",
        b"Basic " + TOKEN.encode(),
        b"Bearer " + TOKEN[:-1].encode(),
        b"Bearer " + TOKEN.encode() + b"x",
        "Bearer tökén".encode(),
        b"Bearer \xff\xfe",
        TOKEN.encode(),
    ],
)
async def test_a_token_that_is_not_ours_is_refused_whatever_its_bytes(admin: Admin, sent: bytes) -> None:
    answer = await admin.client.get("/admin/leads", headers={b"Authorization": sent})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_the_name_before_a_token_is_the_actor(admin: Admin) -> None:
    lead = await admin.add_lead()
    path = f"/admin/leads/{lead.lead_id}/status"
    answer = await admin.client.patch(
        path, params={"new_status": "won"}, headers={"Authorization": f"Bearer bob-{TOKEN}"}
    )
    assert answer.status_code == 200
    assert await admin.db.fetchval("SELECT actor FROM audit_log") == "bob"


async def test_regression_a_guesser_is_refused_for_a_while_and_a_right_token_never(admin: Admin) -> None:
    wrong = {"Authorization": "Bearer guess"}
    for _ in range(FAILURES_PER_MINUTE):
        assert (await admin.client.get("/admin/leads", headers=wrong)).status_code == 401
    answer = await admin.client.get("/admin/leads", headers=wrong)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["title"] == "Too Many Requests"
    assert (await admin.client.get("/admin/leads")).status_code == 200


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/admin/leads", {"limit": CANARY}, "limit"),
        ("/admin/leads", {"limit": 0}, "limit"),
        ("/admin/leads", {"limit": 100_000}, "limit"),
        ("/admin/leads", {"offset": -1}, "offset"),
        ("/admin/leads", {"status_filter": CANARY}, "status_filter"),
        ("/admin/leads", {"q": "@@@"}, "q"),
        ("/admin/leads", {"q": "a\x00b"}, "q"),
        ("/admin/leads", {"service": "a\x00b"}, "service"),
        ("/admin/leads", {"since": CANARY}, "since"),
        ("/admin/leads", {"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ("/admin/leads", {"cursor": CANARY}, "cursor"),
        ("/admin/leads", {"cursor": "MjAyNC0wMS0wMyB4"}, "cursor"),
        ("/admin/leads", {CANARY: "x"}, "query"),
        (f"/admin/leads/{CANARY}", {}, "lead_id"),
        ("/admin/audit", {"event": CANARY}, "event"),
        ("/admin/audit", {"lead_id": CANARY}, "lead_id"),
        ("/admin/audit", {"cursor": "MjAyNC0wMS0wMyA5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"}, "cursor"),
        ("/admin/queue/items", {"stage": CANARY}, "stage"),
    ],
)
async def test_a_bad_value_is_named_and_never_repeated(
    admin: Admin, path: str, params: dict[str, Any], field: str
) -> None:
    answer = await admin.client.get(path, params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "canary" not in answer.text


async def test_regression_a_website_cannot_use_the_example_token_under_a_name_of_its_own(
    postgres: Postgres, stack: Stack
) -> None:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka, debug=Debug(DEBUG=True)) as admin:
        for path in ("/admin/leads", "/admin/login", "/livez"):
            answer = await admin.client.get(path, headers={"Host": "rebound.evil.example"})
            assert answer.status_code == 421
            assert (await admin.client.get(path, headers={"Host": "10.0.0.7:8005"})).status_code == 200


async def test_what_does_not_exist_is_a_problem_too(admin: Admin) -> None:
    for method, path, status in [
        ("GET", f"/admin/leads/{uuid4()}", 404),
        ("GET", "/admin/nothing", 404),
        ("PUT", "/admin/leads", 405),
    ]:
        answer = await admin.client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bug_answers_without_its_trace(admin: Admin) -> None:
    async def broken() -> None:
        raise RuntimeError(CANARY)

    admin.app.router.routes.append(APIRoute("/broken", broken))
    answer = await admin.client.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text


async def test_answers_are_kept_by_no_cache(admin: Admin) -> None:
    assert (await admin.client.get("/admin/leads")).headers["cache-control"] == "no-store"


async def test_the_docs_need_no_token_and_describe_each_answer(admin: Admin) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(admin.app), base_url="http://admin") as open_:
        assert (await open_.get("/admin/docs")).status_code == 200
        document = (await open_.get("/admin/openapi.json")).json()
    for path, methods in document["paths"].items():
        if path.startswith("/admin"):
            for operation in methods.values():
                assert operation["security"] == [{"HTTPBearer": []}]
                done = next(answer for code, answer in operation["responses"].items() if code < "300")
                sheet = path.endswith(".csv")
                assert sheet or "$ref" in done["content"]["application/json"]["schema"]
                assert not sheet or "text/csv" in done["content"]
                assert "application/problem+json" in operation["responses"]["422"]["content"]


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Stop a program and its children, as a frozen machine does."""
    program = psutil.Process(pid)
    stopped = [program, *program.children(recursive=True)]
    for each in stopped:
        each.suspend()
    yield
    for each in stopped:
        with suppress(psutil.NoSuchProcess):
            each.resume()


async def test_it_starts_while_database_and_kafka_are_away_and_comes_back_by_itself(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "database") as postgres:
        await migrate(postgres.urls.owner, postgres.urls.service)
        postgres.stop()
        environment = {
            "DATABASE_URL": postgres.urls.service,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "FASTCORE_ADMIN_TOKEN": TOKEN,
            "DEBUG": "false",
        }
        with processes(tmp_path, environment, "admin") as started:
            service = started["admin"]
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=15) as client:

                async def alive() -> int:
                    try:
                        return (await client.get("/livez")).status_code
                    except httpx.HTTPError:
                        return 0

                await eventually(alive, until=lambda code: code == 200)
                assert (await client.get("/readyz")).status_code == 503
                answer = await client.get("/admin/leads")
                assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
                assert "retry-after" in answer.headers
                stats = (await client.get("/admin/queue/stats")).json()
                assert (stats["stages"], stats["books"]) == (None, None)
                postgres.start()
                await service.ready(15)
                assert (await client.get("/admin/leads")).json()["total"] == 0
                # Kafka is away still: that is no reason to be turned away from one's leads.
                assert (await client.get("/admin/health")).json()["broker"]["state"] == "down"
                with suspended(postgres.pid):
                    began = time.monotonic()
                    health = (await client.get("/admin/health")).json()
                    stats = (await client.get("/admin/queue/stats")).json()
                    assert time.monotonic() - began < 10
                    assert (health["database"]["state"], stats["books"]) == ("down", None)
                assert (await client.get("/admin/leads")).status_code == 200
            # uvicorn drains, then ends by the signal it got.
            assert await service.stop() in (0, -signal.SIGTERM)
            assert TOKEN not in service.log.read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"FASTCORE_ADMIN_TOKEN": ""}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": "short"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": "dev-admin-token-xyz-123"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_TOKEN": f"{TOKEN},bob:short"}, "FASTCORE_ADMIN_TOKEN"),
        ({"FASTCORE_ADMIN_SERVICE_URLS": "http://ingest:8001"}, "FASTCORE_ADMIN_SERVICE_URLS"),
        ({"FASTCORE_ADMIN_GATEWAY_URLS": "ingest:8001"}, "FASTCORE_ADMIN_GATEWAY_URLS"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
async def test_a_wrong_setting_stops_it_with_one_line_that_names_it(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FASTCORE_ADMIN_TOKEN": TOKEN,
        "DEBUG": "false",
    } | changes
    with processes(tmp_path, environment, "admin") as started:
        service = started["admin"]

        async def ended() -> bool:
            assert service.process is not None
            return service.process.poll() is not None

        await eventually(ended)
        assert service.process is not None
        assert service.process.returncode == 1
        (line,) = service.log.read_text().splitlines()
        assert said in line
        assert "short" not in line.replace("shorter", "")
