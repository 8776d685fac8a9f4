"""ASGI middleware that records a span for each request.

The span is named after the route, because a URL may hold personal data.
"""

from opentelemetry.trace import StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.http.route_template import HEALTH_PATHS, method_of, route_template
from runtime.tracing import spans


class ServerSpans:
    """Records a span for each HTTP request, except health checks and requests for metrics or status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        method = method_of(scope)
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
                if route := route_template(scope):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
