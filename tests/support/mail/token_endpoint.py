"""A real OAuth 2.0 token endpoint on loopback, with faults. It accepts invented clients and grants."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs


@dataclass
class TokenEndpoint:
    """Each good request gets a new token: `token-1`, `token-2`. `valid` are those that a mail server takes.

    `answers` are used once each, in order: a status and a body. `delay_seconds` is the time before an answer.
    """

    port: int = 0
    lifetime: object = 3600
    delay_seconds: float = 0.0
    answers: list[tuple[int, str]] = field(default_factory=list)
    always: tuple[int, str] | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    more: dict[str, str] = field(default_factory=dict)
    user: str = "leads@fast.example"  # whose tokens they are, for a mail server that asks (RFC 7662)
    endless: bool = False  # the body of an answer never ends

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    def fail(self, error: str, status: int = 400, description: str = "x@private.example") -> None:
        """Refuse every request from now on."""
        self.always = (status, json.dumps({"error": error, "error_description": description}))

    def heal(self) -> None:
        self.always = None

    def answer(self, form: dict[str, str]) -> tuple[int, str]:
        if "token" in form:
            return 200, json.dumps({"active": form["token"] in self.valid, "username": self.user})
        self.requests.append(form)
        if self.answers:
            return self.answers.pop(0)
        if self.always:
            return self.always
        token = f"token-{len(self.requests)}"
        self.valid.add(token)
        granted = {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer", **self.more}
        return 200, json.dumps(granted)


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[TokenEndpoint]:
    """Run the endpoint while the block lasts."""
    endpoint = TokenEndpoint()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split("\r\n")[0])
            form = parse_qs((await reader.readexactly(length)).decode(), strict_parsing=True)
            status, body = endpoint.answer({name: values[0] for name, values in form.items()})
            await asyncio.sleep(endpoint.delay_seconds)
            writer.write(
                f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(body.encode()) + (1 << 40) * endpoint.endless}\r\n\r\n{body}".encode()
            )
            await writer.drain()
            while endpoint.endless:
                writer.write(b" " * 65_536)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
