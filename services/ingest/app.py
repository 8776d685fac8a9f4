"""The gateway's process: settings, publisher, audit trail, and the order in which they open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime import health, logs
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.problem_details import add_exception_handlers
from runtime.http.request_limits import RequestLimits
from runtime.http.request_tracing import ServerSpans
from runtime.http.swagger_ui import add_docs_page
from runtime.kafka.clients import open_publisher
from runtime.settings import load, refuse_weak_tokens
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans
from services.ingest import problems
from services.ingest.lead_writer import LeadWriter
from services.ingest.openapi import describe
from services.ingest.publisher import AuditPublisher, LeadPublisher
from services.ingest.routes import PATH, LeadEndpoint, status
from services.ingest.settings import Settings, split
from services.ingest.spool.spool import Spool

NAME: Final = "ingest"
DOCS_FILES: Final = "/static-offline-docs"
AUDIT_DRAIN_SECONDS: Final = 2.0
# Headers that a page may send and read across origins.
CORS_ALLOW_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-Request-ID",
    "traceparent",
)
CORS_EXPOSE_HEADERS: Final = ("X-Request-ID", "Idempotent-Replayed", "Retry-After", "RateLimit")


def create_app(settings: Settings | None = None) -> "GatewayApp":
    """Build the app; nothing connects before its lifespan begins."""
    settings = settings or load(Settings)
    if not settings.debug.on:
        refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", list(settings.sites()))
    logs.configure(NAME, settings.log.level)
    # Kafka away is no reason to take a gateway out of service: it has its spool.
    state, kafka_state = health.Health(), health.Health()
    spool = Spool(settings.spool_folder, settings.spool_max_bytes, settings.spool_max_leads)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(settings.tracing, NAME),
            open_publisher(settings.kafka, NAME, kafka_state) as kafka,
        ):
            trail = AuditPublisher(kafka)
            intake = LeadWriter(LeadPublisher(kafka, settings.publish_budget_seconds), spool, state)
            door.inbound, api.state.intake = LeadEndpoint(settings, intake, trail), intake
            async with (
                run_in_background(spool.write(), "spool writer"),
                run_in_background(intake.drain(), "spool drain"),
                run_in_background(trail.run(), "audit trail"),
            ):
                yield
                await trail.drain(AUDIT_DRAIN_SECONDS)
            spool.close()

    api = FastAPIOffline(  # Swagger UI from the package, not from a CDN
        title="FASTCore ingest",
        description="Takes leads from websites and never loses one.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        static_url=DOCS_FILES,
        redirect_slashes=False,
        # FastAPI's own spans and meters: the trace context travels with the record instead.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )

    async def report() -> Response:
        return await status(kafka_state, spool, lambda: api.state.intake.breaker)

    api.add_api_route("/internal/status", report, include_in_schema=False)
    api.include_router(health.routes(state, kafka_state))
    add_exception_handlers(
        api,
        {
            HTTPException: lambda error: problems.for_status(error.status_code, error.headers).response(),
            Exception: lambda _: problems.INTERNAL_ERROR.response(),
        },
    )
    add_docs_page(api, "/docs", DOCS_FILES)
    describe(api)
    door = GatewayApp(api, settings)
    return door


class GatewayApp:
    """ASGI: a lead is answered by `inbound`, everything else by FastAPI.

    Its router and middlewares would add 13 us, as much as a lead's validation takes.
    """

    inbound: ASGIApp
    """There once the lifespan has begun."""

    def __init__(self, api: FastAPI, settings: Settings) -> None:
        self.api = api
        self._way: ASGIApp = RequestLimits(
            self._choose,
            hosts=AllowedHosts(settings.http.allowed_hosts, debug=settings.debug.on),
            deadline_seconds=settings.body_deadline_seconds,
        )
        if settings.tracing.exporter_otlp_endpoint:
            self._way = ServerSpans(self._way, paths={PATH})
        if origins := split(settings.cors_origins):
            self._way = CORSMiddleware(
                self._way, origins, ["POST"], CORS_ALLOW_HEADERS, expose_headers=CORS_EXPOSE_HEADERS
            )

    def openapi(self) -> dict[str, Any]:
        """Describe all routes, as FastAPI does it."""
        return self.api.openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        await self._way(scope, receive, send)

    async def _choose(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.api(scope, receive, send)
        elif scope["method"] == "POST":
            await self.inbound(scope, receive, send)
        else:
            await problems.for_status(405, {"Allow": "POST"}).response()(scope, receive, send)
