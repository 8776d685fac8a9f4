"""ASGI middleware: the security headers of every response that does not set its own."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A JSON document needs no script, no frame and no referrer. Pages and files set their own policy.
DEFAULTS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class SecurityHeaders:
    """Adds them as the outermost layer, so that an error has them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = list(message.get("headers", ()))
                given = {name for name, _ in headers}
                headers += [pair for pair in DEFAULTS if pair[0] not in given]
            await send(message)

        await self._app(scope, receive, respond if scope["type"] == "http" else send)
