"""ASGI middleware that adds security headers to every response, unless the response sets its own."""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For JSON documents, which need no script, no frame and no referrer. Pages and files set their own policy.
DEFAULTS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response, with those security headers added that it does not set."""
    headers = list(headers)
    existing = {name for name, _ in headers}
    return headers + [pair for pair in DEFAULTS if pair[0] not in existing]


class SecurityHeaders:
    """Adds the headers. It must be the outermost middleware, so that error responses have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_response(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_security_headers(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, send_response if scope["type"] == "http" else send)
