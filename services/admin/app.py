"""The admin service's FastAPI app: opens the adapters and installs routes, pages and middleware."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from runtime import VERSION, health, logs
from runtime.database.postgres import OpenPool, open_pool
from runtime.database.readiness import check_database
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.request_limits import RequestLimits
from runtime.http.request_tracing import ServerSpans
from runtime.http.swagger_ui import add_docs_page
from runtime.sites.file import load_sites
from runtime.sites.model import Sites
from runtime.sites.watcher import watch_sites
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans
from services.admin import settings
from services.admin.adapters import Adapters
from services.admin.api import problems, routes
from services.admin.auth.body_access import body_access
from services.admin.auth.session import Sessions
from services.admin.auth.token_auth import TokenAuth
from services.admin.dashboard.cache import Cache
from services.admin.dashboard.disruptions.headline import NO_HEADLINE
from services.admin.dashboard.headline import poll_headline
from services.admin.dashboard.pages import pages, public_status
from services.admin.dashboard.rendering import LOGIN, STATIC, VersionedStaticFiles
from services.admin.monitoring.canaries import read_canaries
from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.mail_outcomes import DAY, HOUR, count_mail_outcomes
from services.admin.monitoring.metrics_poller import poll_metrics
from services.admin.monitoring.service_clients import open_service_clients
from services.admin.monitoring.spam_shares import read_risen_spam
from services.admin.monitoring.system_status import SystemStatus
from services.admin.schemas.destinations import DestinationList
from services.admin.store.audit import AuditLog
from services.admin.store.bulk.bulk_changes import BulkChanges
from services.admin.store.bulk.bulk_worker import run_bulk_changes
from services.admin.store.deliveries.destinations import Destinations, kinds_of
from services.admin.store.deliveries.failed_deliveries import FailedDeliveries
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.recent_outcomes import count_recent_outcomes
from services.admin.store.deliveries.replays import Replays
from services.admin.store.incidents import Incidents
from services.admin.store.leads.held import HeldLeads
from services.admin.store.leads.lead_exports import LeadExports
from services.admin.store.leads.leads import Leads
from services.admin.store.leads.notes import Notes
from services.admin.store.leads.responses import Responses
from services.admin.store.leads.trends import Trends
from services.admin.store.privacy.erasure import Erasures
from services.admin.store.privacy.personal_data import PersonalData
from services.admin.store.revocations import Revocations
from services.admin.store.stages import StageBreakers
from services.admin.store.suppressions import SuppressionEntries
from services.admin.store.views import Views

NAME: Final = "admin"
DOCS_FILES: Final = "/admin/docs-static"
# Room for a token and a path of 500 characters each, URL-encoded. The client is not authenticated yet.
LOGIN_MAX_BYTES: Final = 4096


def create_app(config: settings.Settings | None = None, open_pool: OpenPool = open_pool) -> FastAPI:
    """Return the app. It opens no connection before its lifespan begins."""
    config = config or settings.read()
    logs.configure(NAME, config.log.level)
    state = health.Health()
    sites = load_sites(config.sites_file.path)

    def use_sites(changed: Sites) -> None:
        app.state.sites = changed

    watch_names = watch_sites(config.sites_file.path, sites, state, use_sites)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(config.tracing, NAME),
            open_pool(config.postgres, NAME) as pool,
            open_service_clients(config.gateway_urls, config.service_urls) as services,
            aclosing(LagReader(config.kafka)) as lag,
        ):
            state.check("database", check_database(config.postgres, pool))
            destinations = Destinations(pool)

            async def read_destinations() -> DestinationList:
                return await destinations.list_destinations(kinds_of(app.state.sites))

            def current_sites() -> Sites:
                current: Sites = app.state.sites  # the sites file may have changed
                return current

            def site_name(site: str) -> str:
                return current_sites().display_name(site)

            bulk = BulkChanges(pool, current_sites)
            app.state.adapters = Adapters(
                leads=Leads(pool, site_name),
                held_leads=HeldLeads(pool),
                bulk=bulk,
                notes=Notes(pool),
                views=Views(pool),
                queue=ReplayQueue(pool),
                replays=Replays(pool),
                destinations=destinations,
                failed_deliveries=FailedDeliveries(pool),
                stages=StageBreakers(pool),
                audit=AuditLog(pool),
                exports=LeadExports(pool),
                personal_data=PersonalData(pool),
                erasures=Erasures(pool),
                trends=Trends(pool),
                responses=Responses(pool),
                revocations=Revocations(pool),
                recent_outcomes=partial(count_recent_outcomes, pool),
                mail_rates=partial(count_mail_outcomes, pool, HOUR),
                mail_rates_of_day=partial(count_mail_outcomes, pool, DAY),
                risen_spam=partial(read_risen_spam, pool),
                incidents=Incidents(pool),
                suppressions=SuppressionEntries(pool),
                system=SystemStatus(pool, lag, services),
                canaries=partial(read_canaries, pool),
            )
            async with (
                run_in_background(poll_metrics(pool, lag, read_destinations), "metrics poller"),
                run_in_background(run_bulk_changes(pool, current_sites, bulk.started_here), "bulk changes"),
                run_in_background(poll_headline(app), "headline"),
                run_in_background(watch_names(), "sites file"),
            ):
                yield

    app = FastAPIOffline(  # Swagger UI from the package, not from a CDN
        title="FASTCore admin",
        version=VERSION,
        summary="Find leads, see which deliveries failed and why, and retry them.",
        lifespan=lifespan,
        # The OpenAPI document and its page need no token. They contain only what the repository shows too,
        # and a browser cannot send a token when it opens a page. Every documented route requires a token.
        openapi_url="/admin/openapi.json",
        docs_url=None,
        redoc_url=None,
        static_url=DOCS_FILES,
    )
    add_docs_page(app, "/admin/docs", DOCS_FILES)
    app.state.token_auth = token_auth = TokenAuth(config.actors)
    app.state.cache = Cache()
    app.state.sites = sites
    app.state.status_key = config.status_key()
    app.state.headline = NO_HEADLINE
    app.state.sessions = sessions = Sessions(config.actors, secure=not config.debug.on)
    problems.install(app)
    app.add_middleware(
        RequestLimits,
        hosts=AllowedHosts(config.http.allowed_hosts, debug=config.debug.on),
        authenticated=body_access(token_auth, sessions, LOGIN, time.time),
        body_max_bytes={LOGIN: LOGIN_MAX_BYTES},
    )
    if config.tracing.exporter_otlp_endpoint:
        app.add_middleware(ServerSpans)
    app.include_router(health.routes(state))
    app.include_router(public_status.router)
    app.include_router(routes())
    app.include_router(pages())
    app.mount("/admin/static", VersionedStaticFiles(directory=STATIC), name="static")
    return app
