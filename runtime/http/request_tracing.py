"""A span per request, named by its route: a URL may hold what a person typed."""

from collections.abc import Collection
from typing import Any, Final

from opentelemetry.trace import StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.tracing import spans

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by machines.
_UNSEEN: Final = frozenset({"/livez", "/readyz", "/metrics", "/internal/status"})


class ServerSpans:
    """ASGI middleware; without a collector it is not even added. `paths` are routes that FastAPI has not."""

    def __init__(self, app: ASGIApp, paths: Collection[str] = ()) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in _UNSEEN:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
        with spans.server_span(method, headers) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, answer)
            finally:
                if route := self._route(scope):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)

    def _route(self, scope: Scope) -> Any:
        return scope["path"] if scope["path"] in self._paths else getattr(scope.get("route"), "path", None)
