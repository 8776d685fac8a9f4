"""Counts how long requests take: by method, template of the route and class of the status."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime import metrics
from runtime.http.route_template import HEALTH_PATHS, method_of, route_template

Observe: TypeAlias = Callable[[int, float], None]
"""Counts a response, by its status and the seconds that it took."""

UNMATCHED: Final = "unmatched"
"""The route of requests for which the app has none."""


def duration_observer(method: str, route: str) -> Observe:
    """Return a function that counts the responses of one route for the current service.

    It keeps the five children of the metric, because looking one up costs as much as counting.
    """
    children: dict[int, Histogram] = {}

    def observe(status: int, seconds: float) -> None:
        child = children.get(status // 100)
        if child is None:
            child = children[status // 100] = metrics.HTTP_SECONDS.labels(
                method=method, route=route, status=f"{status // 100}xx"
            )
        Histogram.observe(child, seconds)  # the child is the service's own, so it need not be looked up

    return observe


class RequestMetrics:
    """ASGI middleware that counts each request to a service, except those of health checks and Prometheus.

    The time begins with the request's head and ends with the last byte of the response. It belongs outside of
    every other middleware, and must be called in the context of its service.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # At most as many as the app has routes, times the methods that `method_of` returns.
        self._observers: dict[tuple[str, str], Observe] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500  # what uvicorn responds if the app raises an error

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_response)
        finally:
            key = method_of(scope), route_template(scope) or UNMATCHED
            observe = self._observers.get(key)
            if observe is None:
                observe = self._observers[key] = duration_observer(*key)
            observe(status, time.perf_counter() - began)
