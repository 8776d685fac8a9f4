"""What the status says about services and gateways that answer, fail, or do not exist."""

import contextlib
import json
from typing import Any

import pytest
from aiohttp import web

from deploy.cli.doctor.check_result import CheckResult
from deploy.cli.doctor.status.processes import read_processes
from services.admin.settings import Settings as Admin
from tests.support.web.http_server import serve

SINCE = "2026-01-31T12:00:00+00:00"
METRICS = """# TYPE fastcore_requests_rejected_total counter
fastcore_requests_rejected_total{code="unauthorized"} 3.0
fastcore_requests_rejected_total{code="unavailable"} 1.0
fastcore_requests_rejected_total{code="not-json"} 0.0
"""


async def read(gateway: dict[str, Any], parts: dict[str, Any], *more: str) -> list[CheckResult]:
    """Return the results for one process that is the gateway and the notifier, and for `more` services."""

    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/internal/status":
                return web.json_response(gateway)
            case "/metrics":
                return web.Response(text=METRICS)
        return web.json_response(
            {"parts": parts}, status=200 if all(p["ok"] for p in parts.values()) else 503
        )

    async with serve(answer) as url:
        unused: dict[str, Any] = {"kafka": None, "postgres": None}
        services = {"notifier": url} | dict.fromkeys(more, "http://no-such-name.invalid:1")
        admin = Admin.model_construct(**unused, service_urls=services, gateway_urls=(url,))
        return await read_processes(admin)


def spool(**changes: Any) -> dict[str, Any]:
    return {"depth": 0, "bytes": 0, "oldest_age_seconds": None, "damaged_files": 0} | changes


async def test_what_works_is_one_line_each() -> None:
    kafka = {"ok": True, "reason": "", "since": SINCE}
    results = await read({"spool": spool(), "breaker": "closed", "kafka": kafka}, {"smtp": {"ok": True}})
    assert [(each.check, each.level) for each in results] == [
        ("services", "ok"), ("gateways", "ok"), ("requests", "warn")
    ]  # fmt: skip
    assert results[-1].seen.endswith("since its start: unauthorized 3, unavailable 1")


async def test_a_part_that_fails_has_reason_time_and_runbook_but_no_address() -> None:
    kafka = {"ok": False, "reason": "kafka does not answer", "since": SINCE}
    gateway = {
        "spool": spool(depth=12, bytes=8100, oldest_age_seconds=63.2, damaged_files=1),
        "breaker": "open",
        "kafka": kafka,
    }
    parts = {
        "smtp": {"ok": False, "reason": "paused: 550 <bob@example.com> refused", "since": SINCE},
        "sites_file": {"ok": True, "reason": "warning: line 3", "since": SINCE},
    }
    smtp, sites, away, spooled, _ = await read(gateway, parts, "flusher")
    assert "smtp: paused: 550 <(address)> refused, since 2026-01-31 12:00:00 UTC" in smtp.seen
    assert (smtp.level, smtp.todo) == ("fail", "docs/runbooks/MailFailures.md")
    assert (sites.level, sites.todo) == ("warn", "docs/runbooks/SitesFileInvalid.md")
    assert (away.level, away.seen) == ("fail", "flusher: no such name")
    assert (
        "breaker open, 12 leads in the spool (8100 bytes), the oldest for 63 s, 1 damaged files"
        in spooled.seen
    )
    assert "Kafka: kafka does not answer, since 2026-01-31" in spooled.seen
    assert (spooled.level, spooled.todo) == ("fail", "docs/runbooks/SpoolFilling.md")


async def test_a_gateway_of_another_version_is_described_as_far_as_it_says() -> None:
    _, gateway, _ = await read({"spool": {"depth": 3}}, {"smtp": {"ok": True}})
    assert (gateway.level, "3 leads in the spool" in gateway.seen) == ("fail", True)


@pytest.mark.parametrize(
    ("part", "todo"),
    [
        ("smtp", "docs/runbooks/MailFailures.md"),
        ("emails", "docs/runbooks/MailFailures.md"),
        ("access_token", "docs/email.md#xoauth2"),
        ("secret_files", "docs/destinations.md"),
        ("database", "docs/runbooks/ServiceDown.md"),
    ],
)
async def test_each_part_leads_to_the_page_that_explains_it(part: str, todo: str) -> None:
    results = await read({"spool": spool()}, {part: {"ok": True, "reason": "warning: look"}})
    assert results[0].todo == todo


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("<html></html>", "answered no JSON object"),
        ("[" * 100_000, "answered no JSON object"),
        ("{}", "answered 200, but not as a service of FASTCORE does"),
        ('{"parts": 1, "spool": 1}', "answered 200, but not as a service of FASTCORE does"),
    ],
    ids=["html", "deep", "empty", "other"],
)
async def test_what_is_no_service_is_not_ready(body: str, seen: str) -> None:
    results = await read_body(body, METRICS)
    assert [(each.check, each.level) for each in results[:2]] == [("services", "fail"), ("gateways", "fail")]
    assert [each.seen.partition(": ")[2] for each in results[:2]] == [seen] * 2


@pytest.mark.parametrize("metrics", ['{reason="x"} 1.0', '{code="a"} +Inf', '{code="a"} NaN', "{{{{"])
async def test_metrics_that_make_no_sense_hide_no_service(metrics: str) -> None:
    body = json.dumps({"parts": {"smtp": {"ok": False, "reason": "away"}}, "spool": spool()})
    results = await read_body(body, f"fastcore_requests_rejected_total{metrics}\n")
    assert [each.check for each in results] == ["services", "gateways"]
    assert "smtp: away" in results[0].seen


async def test_a_password_in_a_url_is_not_shown() -> None:
    body = json.dumps({"parts": {}, "spool": spool()})
    results = await read_body(body, METRICS, login="ann:S3cret@")
    assert [each.check for each in results] == ["services", "gateways", "requests"]
    assert not any("S3cret" in each.seen for each in results)


async def read_body(body: str, metrics: str, *, login: str = "") -> list[CheckResult]:
    """Return the results for one process that answers everything with this body."""

    async def answer(request: web.Request) -> web.Response:
        is_metrics = request.path == "/metrics"
        return web.Response(text=metrics if is_metrics else body, content_type="application/json")

    async with serve(answer) as address:
        unused: dict[str, Any] = {"kafka": None, "postgres": None}
        url = address.replace("://", f"://{login}")
        admin = Admin.model_construct(**unused, service_urls={"notifier": url}, gateway_urls=(url,))
        return await read_processes(admin)


async def test_an_answer_without_an_end_fills_no_memory() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65_536)
        return response

    async with serve(answer) as url:
        unused: dict[str, Any] = {"kafka": None, "postgres": None}
        admin = Admin.model_construct(**unused, service_urls={"notifier": url}, gateway_urls=(url,))
        results = await read_processes(admin)
    assert [each.seen.partition(": ")[2] for each in results] == ["answered no JSON object"] * 2
