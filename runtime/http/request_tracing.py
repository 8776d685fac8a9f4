"""ASGI middleware that records a span for each request.

The span is named after the route, because a URL may hold personal data.
"""

from collections.abc import Collection
from typing import Any, Final

from opentelemetry.trace import StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.tracing import spans

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Requested by machines every few seconds.
_UNTRACED_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics", "/internal/status"})


class ServerSpans:
    """Records a span for each HTTP request, except health checks and requests for metrics or status.

    `paths` are the paths of plain ASGI routes. FastAPI has no route name for them, so the path is the name.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str] = ()) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED_PATHS:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
        with spans.server_span(method, headers) as span:

            async def send_response(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, send_response)
            finally:
                if route := self._route(scope):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)

    def _route(self, scope: Scope) -> Any:
        return scope["path"] if scope["path"] in self._paths else getattr(scope.get("route"), "path", None)
