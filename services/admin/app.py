"""The admin service's process: settings, pool, readers, and the order in which they open."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from runtime import health, logs
from runtime.database.postgres import check_database, open_pool
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.request_limits import RequestLimits
from runtime.http.request_tracing import ServerSpans
from runtime.http.swagger_ui import add_docs_page
from runtime.tasks import run_in_background
from runtime.tracing.spans import export_spans
from services.admin import settings
from services.admin.adapters import Adapters
from services.admin.api import problems, routes
from services.admin.auth.body_access import body_access
from services.admin.auth.session import Sessions
from services.admin.auth.token_auth import TokenAuth
from services.admin.dashboard.cache import Cache
from services.admin.dashboard.pages import pages
from services.admin.dashboard.rendering import LOGIN, STATIC, VersionedStaticFiles
from services.admin.monitoring.consumer_lag import LagReader
from services.admin.monitoring.metrics_poller import watch
from services.admin.monitoring.queue_counts import take_census
from services.admin.monitoring.service_clients import open_peers
from services.admin.store.failed_deliveries import Workbench
from services.admin.store.leads import Store
from services.admin.store.personal_data import People
from services.admin.store.recent_outcomes import count_recent
from services.admin.store.revocations import Revocations
from services.admin.store.trends import Trends

NAME: Final = "admin"
DOCS_FILES: Final = "/admin/docs-static"
# A token and a path of 500 characters each, and what their encoding adds. Whoever sends it is not known yet.
LOGIN_MAX_BYTES: Final = 4096


def create_app(given: settings.Settings | None = None) -> FastAPI:
    """Build the app; nothing connects before its lifespan begins."""
    told = given or settings.read()
    logs.configure(NAME, told.log.level)
    state = health.Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            export_spans(told.tracing, NAME),
            open_pool(told.postgres, NAME) as pool,
            open_peers(told.gateway_urls, told.service_urls) as peers,
            aclosing(LagReader(told.kafka)) as lag,
        ):
            state.check("database", check_database(told.postgres, pool))
            app.state.adapters = adapters = Adapters(
                Store(pool),
                People(pool),
                partial(take_census, pool),
                lag,
                peers,
                Workbench(pool),
                Trends(pool),
                Revocations(pool),
                partial(count_recent, pool),
            )
            async with run_in_background(watch(adapters), "watch"):
                yield

    app = FastAPIOffline(  # Swagger UI from the package, not from a CDN
        title="FASTCore admin",
        summary="Looks leads up, shows what is stuck and why, and pushes it on.",
        lifespan=lifespan,
        # This and its page need no token: they hold no data, only what the repository says too, and a
        # browser cannot send one with the request for a page. Every route that they describe asks for it.
        openapi_url="/admin/openapi.json",
        docs_url=None,
        redoc_url=None,
        static_url=DOCS_FILES,
    )
    add_docs_page(app, "/admin/docs", DOCS_FILES)
    app.state.token_auth = token_auth = TokenAuth(told.actors)
    app.state.cache = Cache()
    app.state.sessions = sessions = Sessions(told.actors, secure=not told.debug.on)
    problems.install(app)
    app.add_middleware(
        RequestLimits,
        hosts=AllowedHosts(told.http.allowed_hosts, debug=told.debug.on),
        authenticated=body_access(token_auth, sessions, LOGIN, time.time),
        body_max_bytes={LOGIN: LOGIN_MAX_BYTES},
    )
    if told.tracing.exporter_otlp_endpoint:
        app.add_middleware(ServerSpans)
    app.include_router(health.routes(state))
    app.include_router(pages())
    app.include_router(routes())
    app.mount("/admin/static", VersionedStaticFiles(directory=STATIC), name="static")
    return app
