"""Serves one route without the app's middleware and without ASGI's messages, for speed (ADR 0053)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from runtime.http.allowed_hosts import AllowedHosts
from runtime.http.protocol import BODY_COMPLETE, BoundedHttpProtocol
from runtime.http.request_limits import BODY_MAX_BYTES
from runtime.http.security_headers import with_security_headers

Respond: TypeAlias = Callable[[Scope, Receive], Awaitable[Response]]
# The app handles requests with these headers: `origin` for CORS, `expect` for a 100 (Continue).
_HEADERS_FOR_THE_APP: Final = frozenset({b"origin", b"expect"})


class DirectRoute(NamedTuple):
    """A POST route of the app, and the function that returns its responses. The function must not raise.

    `hosts` are the host names that the app allows.
    """

    path: str
    hosts: AllowedHosts
    respond: Respond


class DirectHttpProtocol(BoundedHttpProtocol):
    """Passes requests to the function of `route`, or to the app if a middleware must handle them.

    The app gets a request with a body that is large or has not arrived completely, with a host name that is
    not allowed, or with a header that a middleware handles. Function and app return the same response.
    """

    route: DirectRoute

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["path"] == self.route.path and cycle.scope["method"] == "POST":
            app = partial(self._serve, cycle)
        super()._start_asgi_task(cycle, app)

    async def _serve(self, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send) -> None:
        # Decide in the task: when the task is created, the head has arrived, but the body is not parsed yet.
        if not self._is_direct(cycle, scope):
            app: Any = self.app
            await app(scope, receive, send)
            return
        response = await self.route.respond(scope, receive)
        if self.flow.write_paused:
            await self.flow.drain()
        if not cycle.disconnected:
            self._write(cycle, response)

    def _is_direct(self, cycle: RequestResponseCycle, scope: Scope) -> bool:
        headers, hosts = scope["headers"], self.route.hosts
        return (
            BODY_COMPLETE in scope
            and len(cycle.body) <= BODY_MAX_BYTES
            and not any(name in _HEADERS_FOR_THE_APP for name, _ in headers)
            and (not hosts.limited or hosts.allows(headers))
        )

    def _write(self, cycle: RequestResponseCycle, response: Response) -> None:
        """Write a whole response, and end the request as `RequestResponseCycle.send` does."""
        parts = [STATUS_LINE[response.status_code]]
        for name, value in cycle.default_headers + with_security_headers(response.raw_headers):
            parts += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        self.transport.write(b"".join(parts) + response.body)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def direct_protocol(seconds: float, route: DirectRoute) -> type[DirectHttpProtocol]:
    """Return a subclass of the protocol for this route that allows `seconds` for a request's head."""
    attributes: dict[str, Any] = {"head_timeout_seconds": seconds, "route": route}
    return type("DirectHttpProtocol", (DirectHttpProtocol,), attributes)
