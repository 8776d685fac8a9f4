"""The gateway's ASGI application: builds the adapters and opens and closes them in order."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final, cast

import httpx
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from runtime import VERSION, health, logs
from runtime.access_tokens import refuse_weak_tokens
from runtime.current_service import current_service
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.direct_route import DirectRoute, RawHeaders
from runtime.http.problem_details import add_exception_handlers
from runtime.http.request_limits import RequestLimits, Uploads
from runtime.http.request_tracing import ServerSpans
from runtime.http.swagger_ui import add_docs_page
from runtime.kafka.mail_event_publisher import MailEventPublisher
from runtime.kafka.publisher import OpenPublisher, open_publisher
from runtime.settings import load
from runtime.sites.file import SitesFileError, environment, exit_with, load_sites
from runtime.sites.watcher import watch_sites
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans
from runtime.worker import current_worker
from services.ingest import problems
from services.ingest.builders.endpoint import PATH as HOOK_PATH
from services.ingest.builders.endpoint import HookEndpoint
from services.ingest.forms import endpoint as forms
from services.ingest.forms.captcha import Captcha
from services.ingest.forms.endpoint import FormEndpoint
from services.ingest.forms.routes import add_form_routes
from services.ingest.forms.script import SCRIPTS_CACHE
from services.ingest.lead_acceptance import LeadAcceptance
from services.ingest.lead_writer import LeadWriter
from services.ingest.mail_events import endpoint as mail_events
from services.ingest.mail_events.endpoint import MailEventEndpoint, configured_providers
from services.ingest.mail_events.mailgun import Mailgun
from services.ingest.openapi import describe
from services.ingest.publisher import (
    AuditPublisher,
    LeadPublisher,
    RefusedLeadPublisher,
)
from services.ingest.request import ReceivedRequest
from services.ingest.routes import PATH, LeadEndpoint, status_body
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory
from services.ingest.spool.spool import Spool
from services.ingest.spool.totals import SpoolTotals
from services.ingest.workers.gateway_worker import GatewayWorker

NAME: Final = "ingest"
SCRIPTS: Final = "/inbound/static"
DOCS_FILES: Final = "/static-offline-docs"
AUDIT_DRAIN_SECONDS: Final = 2.0
# A form's files are read and dropped, so that they do not cost the lead. A phone sends 5 MB in that time.
UPLOAD_MAX_BYTES: Final = 32 * 1024 * 1024
UPLOAD_DEADLINE_SECONDS: Final = 30.0
CORS_ALLOW_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-Request-ID",
    "traceparent",
)
CORS_EXPOSE_HEADERS: Final = ("X-Request-ID", "Idempotent-Replayed", "Retry-After", "RateLimit")


def _report_spool(spool: Spool) -> health.Health:
    """Return the health of what is reported only: the gateway is ready with Kafka or with its spool.

    The check of the spool writes a file, so that a disk that fails is known before it is needed.
    """
    reported = health.Health()
    reported.check("spool", spool.check)
    return reported


def create_app(settings: Settings | None = None, open_publisher: OpenPublisher = open_publisher) -> FastAPI:
    """Return the app. It opens no connection before its lifespan begins.

    Exits with a one-line error if a setting is invalid, or if a token is weak. Debug mode permits weak
    tokens.
    """
    settings = settings or load(Settings)
    if current_service() and settings.workers > 1:
        sys.exit("wrong settings: FASTCORE_INGEST_WORKERS: must be 1 if ingest shares its process")
    if not settings.debug.on:
        refuse_weak_tokens("FASTCORE_SITE_INGEST_TOKEN", list(settings.sites()))
    sites = load_sites(settings.sites_file.path)
    try:
        directory = SiteDirectory(settings, sites, environment())
    except SitesFileError as error:
        exit_with(settings.sites_file.path, error)
    logs.configure(NAME, settings.log.level)
    worker = current_worker()
    spool = Spool(
        settings.spool_folder,
        settings.spool_max_bytes,
        settings.spool_max_leads,
        totals=SpoolTotals(worker) if worker else None,
    )
    readiness, reported = health.Health(), _report_spool(spool)
    watching = watch_sites(settings.sites_file.path, sites, readiness, directory.apply)

    async def own_status() -> dict[str, Any]:
        return await status_body(reported, spool, api.state.lead_writer.breaker)

    sharing = GatewayWorker(worker, readiness, spool, own_status) if worker else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(settings.tracing, NAME),
            open_publisher(settings.kafka, NAME, reported) as kafka,
            httpx.AsyncClient() as client,
        ):
            audit = AuditPublisher(kafka, settings.workers)
            writer = LeadWriter(LeadPublisher(kafka, settings.publish_budget_seconds), spool, readiness)
            acceptance = LeadAcceptance(settings, writer)
            captcha = Captcha(directory, client)
            api.state.lead_endpoint = LeadEndpoint(settings, directory, acceptance, audit)
            api.state.form_endpoint = FormEndpoint(settings, directory, acceptance, captcha)
            api.state.captcha = captcha
            api.state.hook_endpoint = HookEndpoint(
                settings,
                directory,
                acceptance,
                audit,
                RefusedLeadPublisher(kafka, settings.publish_budget_seconds),
            )
            providers = configured_providers(settings.mail_providers, client)
            api.state.mail_event_endpoint = MailEventEndpoint(
                providers,
                MailEventPublisher(kafka, settings.publish_budget_seconds),
            )
            api.state.lead_writer = writer
            if sharing:
                limiters = {
                    "form": api.state.form_endpoint.site_limiter,
                    "token": api.state.lead_endpoint.token_limiter,
                    "hook": api.state.hook_endpoint.token_limiter,
                }
                used = {"captcha": captcha.used}
                if isinstance(mailgun := providers.get("mailgun"), Mailgun):
                    used["mailgun"] = mailgun.used
                sharing.share(acceptance, limiters, used)
            async with (
                run_in_background(spool.run_writer(), "spool writer"),
                run_in_background(writer.run_drain(), "spool drain"),
                run_in_background(audit.run(), "audit publisher"),
                run_in_background(watching(), "sites file"),
                sharing.run() if sharing else nullcontext(),
            ):
                yield
                await audit.drain(AUDIT_DRAIN_SECONDS)
            spool.close()

    api = FastAPIOffline(  # serves Swagger UI from the installed package, not from a CDN
        title="FASTCore ingest",
        description="Accepts leads from websites and never loses one.",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        static_url=DOCS_FILES,
        redirect_slashes=False,
        # Off, because the trace context travels with the record (see runtime.tracing).
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )

    async def status() -> Response:
        return JSONResponse(await (sharing.status() if sharing else own_status()))

    _add_routes(api, directory)
    api.add_api_route("/internal/status", status, include_in_schema=False)
    api.include_router(sharing.routes(reported) if sharing else health.routes(readiness, reported))
    add_exception_handlers(
        api,
        {
            HTTPException: lambda error: problems.for_status(error.status_code, error.headers).response(),
            Exception: lambda _: problems.INTERNAL_ERROR.response(),
        },
    )
    add_docs_page(api, "/docs", DOCS_FILES)
    describe(api)
    _add_middleware(api, settings, directory)
    return api


def _add_routes(api: FastAPI, directory: SiteDirectory) -> None:
    """Add the routes that accept leads and mail events, and the files for forms."""
    api.router.routes.append(Route(PATH, _StateRoute("lead_endpoint"), methods=["POST"]))
    api.router.routes.append(Route(forms.PATH, trust_proxies(_StateRoute("form_endpoint")), methods=["POST"]))
    api.router.routes.append(Route(HOOK_PATH, _StateRoute("hook_endpoint"), methods=["POST"]))
    api.router.routes.append(Route(mail_events.PATH, _StateRoute("mail_event_endpoint"), methods=["POST"]))
    add_form_routes(api, directory)
    api.mount(SCRIPTS, _CachedScripts(directory=forms.STATIC), name="scripts")


class SiteCors(CORSMiddleware):
    """CORS middleware that allows the origins of all sites in the current version of the sites file."""

    def __init__(self, app: ASGIApp, directory: SiteDirectory) -> None:
        super().__init__(
            app,
            allow_methods=["POST"],
            allow_headers=CORS_ALLOW_HEADERS,
            expose_headers=CORS_EXPOSE_HEADERS,
        )
        self._directory = directory

    def is_allowed_origin(self, origin: str) -> bool:
        """Return True if the origin belongs to any site."""
        return self._directory.allows_origin(origin)


def trust_proxies(app: ASGIApp) -> ASGIApp:
    """Return the app, wrapped so that a request has the client's address instead of the proxy's.

    The address is read from `X-Forwarded-For` if the request is from a proxy in FORWARDED_ALLOW_IPS. Wrap
    only the forms' route: no other route needs the address. Wrapping all routes
    (`serve(trust_proxy_headers=True)`) would add 2 us to each lead.
    """
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")  # uvicorn's variable and default
    wrapped: Any = ProxyHeadersMiddleware(cast("Any", app), trusted)
    return cast("ASGIApp", wrapped)


class _StateRoute:
    """Passes a request on to an endpoint, which the lifespan creates in the app's state.

    It is a class, because Starlette calls an instance directly as an ASGI app. A function would get a
    `Request`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await getattr(scope["app"].state, self._name)(scope, receive, send)


class _CachedScripts(StaticFiles):
    """Scripts that browsers keep, so that a page has its script while the gateway is unavailable."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = SCRIPTS_CACHE
        return response


def _add_middleware(api: FastAPI, settings: Settings, directory: SiteDirectory) -> None:
    """Add the middleware, the innermost first, and the route that may skip it."""

    def respond(headers: RawHeaders, body: bytes) -> Awaitable[Response]:
        response: Awaitable[Response] = api.state.lead_endpoint.respond(ReceivedRequest(headers, body))
        return response

    hosts = AllowedHosts(settings.http.allowed_hosts, debug=settings.debug.on)
    api.add_middleware(
        RequestLimits,
        hosts=hosts,
        body_max_bytes={mail_events.PREFIX + name: mail_events.BODY_MAX_BYTES for name in mail_events.NAMES},
        deadline_seconds=settings.body_deadline_seconds,
        uploads=Uploads(forms.PREFIX, UPLOAD_MAX_BYTES, UPLOAD_DEADLINE_SECONDS),
    )
    if settings.tracing.exporter_otlp_endpoint:
        api.add_middleware(ServerSpans)
    else:  # a span of a request needs the middleware
        api.state.direct_route = DirectRoute(PATH, hosts, respond)
    if settings.cors_origins or settings.sites_file.path:
        api.add_middleware(SiteCors, directory)
