"""Requests are counted by the template of their route, never by their path."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from deploy.generate.docs import example_settings, settings_of
from runtime import metrics
from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.direct_route import DirectRoute, RawHeaders
from runtime.http.request_metrics import UNMATCHED, RequestMetrics
from services.admin.app import create_app as create_admin
from services.ingest.app import create_app as create_ingest
from tests.support.web.direct_server import exchange, run_direct

COUNT = "fastcore_http_request_seconds_count"
SUM = "fastcore_http_request_seconds_sum"
SECRET = "ada-lovelace"


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    metrics.HTTP_SECONDS.clear()
    yield
    metrics.HTTP_SECONDS.clear()


def counted() -> dict[tuple[str, str, str], float]:
    """Return the number of requests by method, route and class of the status."""
    (family,) = metrics.HTTP_SECONDS.collect()
    return {
        (each.labels["method"], each.labels["route"], each.labels["status"]): each.value
        for each in family.samples
        if each.name == COUNT
    }


async def request(app: Any, *requests: tuple[str, str]) -> None:
    transport = httpx.ASGITransport(RequestMetrics(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method, path in requests:
            await client.request(method, path)


def service(name: str) -> FastAPI:
    settings = settings_of(name)
    create: Any = {"ingest": create_ingest, "admin": create_admin}[name]
    app: FastAPI = create(settings.model_validate(example_settings(settings)))
    return app


@pytest.mark.parametrize("name", ["ingest", "admin"])
async def test_documented_routes_are_counted_under_their_templates(name: str) -> None:
    app = service(name)
    operations = {
        (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
    } - {("GET", path) for path in ("/livez", "/readyz", "/metrics")}
    await request(app, *((method, re.sub(r"\{[^}]+\}", SECRET, path)) for method, path in operations))
    templates = {(method, re.sub(r":\w+\}", "}", route)) for method, route, _ in counted()}
    assert templates == operations
    assert SECRET not in str(counted())


async def test_files_and_unknown_paths_cannot_make_series() -> None:
    await request(
        service("ingest"),
        ("GET", f"/{SECRET}"),
        ("POST", f"/inbound/hooks/{SECRET}/more"),
        ("GET", f"/inbound/static/{SECRET}.js"),
        (SECRET.upper(), "/"),
    )
    assert counted() == {
        ("GET", UNMATCHED, "4xx"): 1,
        ("POST", UNMATCHED, "4xx"): 1,
        ("GET", "/inbound/static/{path}", "4xx"): 1,
        ("_OTHER", UNMATCHED, "4xx"): 1,
    }


async def test_a_wrong_method_counts_under_the_route() -> None:
    await request(service("admin"), ("PUT", "/admin/docs"))
    assert counted() == {("PUT", "/admin/docs", "4xx"): 1}


async def test_health_checks_are_not_counted() -> None:
    await request(service("ingest"), ("GET", "/livez"), ("GET", "/metrics"))
    assert counted() == {}


async def test_an_error_counts_as_500_and_prefixes_belong_to_the_route() -> None:
    app, inner, outer = FastAPI(), APIRouter(prefix="/b"), APIRouter(prefix="/a")

    @inner.get("/{name}")
    async def fail(name: str) -> None:
        raise RuntimeError(name)

    outer.include_router(inner)
    app.include_router(outer)
    await request(app, ("GET", f"/a/b/{SECRET}"), ("GET", f"/a/b/{SECRET}"))
    assert counted() == {("GET", "/a/b/{name}", "5xx"): 2}


async def test_the_time_includes_the_whole_response() -> None:
    async def slow() -> Any:
        yield b"a"
        await asyncio.sleep(0.05)
        yield b"b"

    app = FastAPI(routes=[Route("/export", lambda _: StreamingResponse(slow()))])
    await request(app, ("GET", "/export"))
    labels = {"method": "GET", "route": "/export", "status": "2xx"}
    assert (REGISTRY.get_sample_value(SUM, labels) or 0) >= 0.05


async def test_the_direct_route_counts_its_responses_and_failures() -> None:
    async def respond(_: RawHeaders, body: bytes) -> Response:
        if body == b"!":
            raise RuntimeError
        return Response(status_code=201)

    route = DirectRoute("/lead", AllowedHosts("", debug=False), respond)
    head = b"POST /lead HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\n"
    async with run_direct(FastAPI(), route) as port:
        for body in (b"1", b"2", b"!"):
            await exchange(port, head + body)
    assert counted() == {("POST", "/lead", "2xx"): 2, ("POST", "/lead", "5xx"): 1}
