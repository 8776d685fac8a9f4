"""ASGI middleware that adds security headers to every response, unless the response sets its own."""

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


class SecurityHeaders:
    """Adds the headers. It must be the outermost middleware, so that error responses have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_response(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message.get("headers", ()))
                existing = {name for name, _ in headers}
                headers += [pair for pair in DEFAULTS if pair[0] not in existing]
            await send(message)

        await self._app(scope, receive, send_response if scope["type"] == "http" else send)
