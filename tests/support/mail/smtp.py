"""A scripted SMTP server on loopback: a reply, no reply or a dropped connection in each phase."""

import asyncio
import base64
import email
import email.policy
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Phase = Literal["connect", "ehlo", "login", "mail", "rcpt", "data", "body"]

# Made once with `openssl req -x509 -newkey ec -days 36500`; it opens nothing but these tests.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
HANG = "hang"
DROP = "drop"


@dataclass
class Received:
    """A mail that the server accepted with 250."""

    sender: str
    recipients: list[str]
    content: bytes
    at: float = field(default_factory=time.time)  # when its body arrived, in seconds since 1970

    @cached_property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def kind(self) -> str:
        return str(self.message["Message-ID"]).split("@")[0].rpartition(".")[2]

    def text(self, kind: str = "plain") -> str:
        """Return the text or HTML part."""
        part = self.message.get_body((kind,))
        assert part is not None
        return str(part.get_content())


@dataclass
class SmtpServer:
    """`script[phase]` holds the next answers: a line such as `451 4.7.1 later`, `HANG` or `DROP`.

    Each is used once, in order; afterwards all is well again. `always[phase]` stays. A key
    `rcpt:<address>` is for one recipient. `body` is after the final dot: a drop there comes with the
    mail taken.
    """

    host: str = "127.0.0.1"
    port: int = 0
    script: dict[str, list[str]] = field(default_factory=dict)
    always: dict[str, str] = field(default_factory=dict)
    mails: list[Received] = field(default_factory=list)
    lost: list[Received] = field(default_factory=list)  # accepted, but the sender got no reply
    seen: Counter[str] = field(default_factory=Counter)
    credentials: tuple[str, str] | None = None
    tokens: set[str] | None = None  # the valid access tokens of the user in `credentials`, for XOAUTH2
    logins: list[str] = field(default_factory=list)  # the access tokens of all logins with XOAUTH2
    tls_context: ssl.SSLContext | None = None
    implicit_tls: bool = False  # else the context is for STARTTLS
    smtputf8: bool = True
    on_body: Callable[[], None] | None = None
    limit: Callable[[], str | None] | None = None  # the reply to a body without a scripted one
    delay: Callable[[], Awaitable[None]] | None = None  # before each reply up to the body
    _open: set[Any] = field(default_factory=set)
    _server: asyncio.Server | None = None

    def then(self, phase: str, *answers: str) -> None:
        """Use these replies the next times in this phase."""
        self.script.setdefault(phase, []).extend(answers)

    def next(self, phase: str, *, only: str = "") -> str | None:
        self.seen[phase] += 1
        for key in (f"{phase}:{only}", phase):
            if self.script.get(key):
                return self.script[key].pop(0)
            if key in self.always:
                return self.always[key]
        return None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(self, loop),
            self.host,
            self.port,
            ssl=self.tls_context if self.implicit_tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop like a killed server: open connections are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._open):
            transport.abort()
        await asyncio.sleep(0)

    def of(self, lead_id: object, kind: str) -> list[Received]:
        """Return the mails of one kind for a lead."""
        return [m for m in self.mails if f"<{lead_id}.{kind}@" in str(m.message["Message-ID"])]


class _Protocol(SMTP):
    """aiosmtpd that consults the script before each reply."""

    def __init__(self, plan: SmtpServer, loop: asyncio.AbstractEventLoop) -> None:
        login = plan.credentials is not None
        mechanisms = ["XOAUTH2"] if plan.tokens is None else ["LOGIN", "PLAIN"]
        super().__init__(
            self,
            enable_SMTPUTF8=plan.smtputf8,
            hostname="scripted.test",
            tls_context=None if plan.implicit_tls else plan.tls_context,
            loop=loop,
            authenticator=self._log_in if login else None,
            auth_required=False,
            auth_require_tls=False,
            auth_exclude_mechanism=mechanisms,
        )
        self.plan = plan

    def connection_made(self, transport: Any) -> None:
        self.plan._open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.plan._open.discard(self.transport)
        super().connection_lost(error)

    def _log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, auth_data: Any) -> AuthResult:
        assert isinstance(auth_data, LoginPassword)
        given = (auth_data.login.decode(), auth_data.password.decode())
        return AuthResult(success=given == self.plan.credentials, handled=False)

    async def auth_XOAUTH2(self, _: Any, arguments: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name
        assert self.plan.credentials is not None
        assert self.plan.tokens is not None
        user, bearer, *end = base64.b64decode(arguments[1]).decode().split("\x01")
        assert end == ["", ""]
        token = bearer.removeprefix("auth=Bearer ")
        self.plan.logins.append(token)
        if user == f"user={self.plan.credentials[0]}" and token in self.plan.tokens:
            return AuthResult(success=True)
        # As Gmail: the reason is a challenge, and the client answers with an empty line.
        answer = await self.challenge_auth('{"status":"400","schemes":"Bearer"}')
        assert answer == b"", answer
        return AuthResult(success=False, handled=False)

    async def _scripted_reply(self, phase: str, only: str = "") -> str | None:
        """Run the script's step for this command. Return the scripted reply, or None."""
        if self.plan.delay and phase != "body":
            await self.plan.delay()
        reply = self.plan.next(phase, only=only)
        if reply == HANG:
            await asyncio.Event().wait()
        if reply == DROP:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.abort()
            await asyncio.sleep(0)
            raise asyncio.CancelledError
        return reply

    async def push(self, status: Any) -> None:
        if str(status).startswith("220 scripted") and (reply := await self._scripted_reply("connect")):
            status = reply
        await super().push(status)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's name
        if reply := await self._scripted_reply("ehlo"):
            await super().push(reply)
        else:
            await super().smtp_EHLO(hostname)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        if reply := await self._scripted_reply("login"):
            await super().push(reply)
        else:
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if reply := await self._scripted_reply("mail"):
            await super().push(reply)
        else:
            await super().smtp_MAIL(arg)

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := await self._scripted_reply("rcpt", address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if reply := await self._scripted_reply("data"):
            await super().push(reply)
        else:
            await super().smtp_DATA(arg)

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        assert envelope.mail_from is not None
        received = Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content)
        if self.plan.on_body:
            self.plan.on_body()
        self.plan.lost.append(received)
        if reply := await self._scripted_reply("body") or (self.plan.limit and self.plan.limit()):
            self.plan.lost.remove(received)
            return reply
        self.plan.lost.remove(received)
        self.plan.mails.append(received)
        return "250 2.0.0 OK"


def tls_for_localhost() -> tuple[ssl.SSLContext, Path]:
    """A context with a certificate for localhost that signs itself, and the file to trust it by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context, CERTIFICATE


@asynccontextmanager
async def smtp_server(**options: Any) -> AsyncIterator[SmtpServer]:
    """Run a scripted server while the block lasts."""
    server = SmtpServer(**options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
