"""The gateway's app without Kafka. Leads and audit entries go into lists, and the test sets the clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from contracts.audit import AuditRecorded
from contracts.lead_record import LeadRecord
from contracts.leads import LeadReceived
from runtime.failures import DependencyUnavailable
from runtime.settings import Kafka, SitesFile
from runtime.sites.file import environment, load_sites
from services.ingest.app import create_app
from services.ingest.builders.endpoint import HookEndpoint
from services.ingest.forms.captcha import Captcha
from services.ingest.forms.endpoint import FormEndpoint
from services.ingest.lead_acceptance import LeadAcceptance
from services.ingest.routes import LeadEndpoint
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def expect_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is an RFC 9457 problem with this status, and return its members."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem.keys() >= {"type", "title", "detail"}
    return problem


def submission(**changes: Any) -> dict[str, Any]:
    """Return a valid body with only the required fields."""
    return {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello"} | changes


class FakeLeadSink:
    """Collects records, or raises `error`."""

    def __init__(self) -> None:
        self.records: list[LeadRecord] = []
        self.error: Exception | None = None

    async def publish(self, record: LeadRecord) -> bool:
        if self.error:
            raise self.error
        self.records.append(record)
        return True

    def make_kafka_unavailable(self) -> None:
        self.error = DependencyUnavailable("kafka", "kafka did not acknowledge in time")

    @property
    def leads(self) -> list[LeadReceived]:
        return [LeadReceived.model_validate_json(record.value) for record in self.records]


class FakeAuditSink:
    """Collects audit entries."""

    def __init__(self) -> None:
        self.entries: list[AuditRecorded] = []

    def enqueue(self, entry: AuditRecorded) -> None:
        self.entries.append(entry)


class FakeLeadPublisher:
    """A `LeadPublisher` whose Kafka is available, unavailable or hanging."""

    def __init__(self) -> None:
        self.connected, self.unavailable, self.hangs = True, False, False
        self.values: list[bytes] = []

    async def publish(self, record: LeadRecord) -> None:
        await self.check()
        self.values.append(record.value)

    async def check(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.unavailable:
            raise DependencyUnavailable("kafka", "kafka does not answer")


class FakePublisher:
    """A Kafka publisher that collects topics and keys."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.unavailable, self.hangs = False, False

    async def send(self, topic: str, *, key: bytes, seconds: float, **_: Any) -> None:
        if self.hangs:
            await asyncio.sleep(seconds)
        if self.hangs or self.unavailable:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge in time")
        self.sent.append((topic, key))


class Gateway:
    """The app under test, its sinks and its clock."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client
        self.leads = FakeLeadSink()
        self.refused = FakeLeadSink()
        self.audit = FakeAuditSink()
        self.now = datetime(2024, 1, 3, 10, 30, 45, 123456, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def post(self, body: Any = None, **headers: str) -> httpx.Response:
        """POST a body as JSON with a valid token. Underscores in header names become dashes."""
        return await self.client.post(
            "/inbound/leads",
            json=submission() if body is None else body,
            headers=AUTHORIZED | {name.replace("_", "-"): value for name, value in headers.items()},
        )

    async def post_raw(self, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """POST bytes with a valid token, as application/json by default."""
        more = {"Content-Type": "application/json"} if headers is None else headers
        return await self.client.post("/inbound/leads", content=content, headers=AUTHORIZED | more)


@asynccontextmanager
async def run_gateway(sites_file: Path | None = None, **fields: Any) -> AsyncIterator[Gateway]:
    """Build an app with these settings. Its lifespan does not run, so it does not connect to Kafka.

    `sites_file` is the path of a sites file.
    """
    kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    settings = Settings.model_validate(
        {"kafka": kafka, "site_tokens": f"www:{TOKEN}", "sites_file": SitesFile(path=sites_file)} | fields
    )
    sites = SiteDirectory(settings, load_sites(settings.sites_file.path), environment())
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        plain_client() as captcha_client,
    ):
        gateway = Gateway(app, client)
        app.state.lead_writer = SimpleNamespace(breaker="closed")
        acceptance = LeadAcceptance(settings, gateway.leads, lambda: gateway.now, gateway.monotonic)
        captcha = Captcha(sites, captcha_client)
        app.state.lead_endpoint = LeadEndpoint(settings, sites, acceptance, gateway.audit)
        app.state.form_endpoint = FormEndpoint(settings, sites, acceptance, captcha)
        app.state.captcha = captcha
        app.state.hook_endpoint = HookEndpoint(settings, sites, acceptance, gateway.audit, gateway.refused)
        yield gateway
