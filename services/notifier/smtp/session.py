"""One SMTP connection, which sends one mail at a time. No pool, no database.

This module only records each reply and its phase. The module `outcome` decides what they mean.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import aiosmtplib

from contracts.reasons import Reason
from runtime.oauth_tokens import AccessToken, AccessTokenError, AccessTokens
from services.notifier.mail.message import Mail
from services.notifier.smtp.outcome import (
    MailOutcome,
    MailStatus,
    Phase,
    outcome_of_rejected_recipients,
    outcome_of_reply,
    outcome_without_reply,
)
from services.notifier.smtp.pipelining import EXTENSION, PipeliningProtocol

# Servers close idle connections (Postfix after 300 s, others earlier) and limit the mails of a connection.
IDLE_SECONDS: Final = 30.0
MAILS_PER_SESSION: Final = 100
# Probe a connection that was idle for this long with RSET before a mail.
PROBE_AFTER_SECONDS: Final = 1.0
RSET_SECONDS: Final = 5.0  # a connection that does not reply to RSET in this time is dead
QUIT_SECONDS: Final = 2.0
# For the TCP connection, and for TLS on port 465: both wait for the network, not for a greeting.
TCP_SECONDS: Final = 15.0
# A slow server acknowledges data and keepalive probes. A lost host does not, and is detected after 30 s.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


_DATA, _RSET = b"DATA\r\n", b"RSET\r\n"
_ACCEPTED: Final = {_DATA: aiosmtplib.SMTPStatus.start_input, _RSET: aiosmtplib.SMTPStatus.completed}
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f<>]")
# Never stored: such a mail stays reserved, and the stage pauses.
NO_TOKEN: Final = "smtp no access token"  # noqa: S105
# RFC 4954, 6: authentication required, and credentials invalid.
_LOGIN_REQUIRED: Final = frozenset({530, 535})


class StaleSessionError(Exception):
    """A pooled connection is closed or too old, and no body was written.

    The caller must use another connection.
    """


@dataclass
class Session:
    """One connection, and the phase of its current mail.

    - `tokens` has the access tokens for a login with XOAUTH2. `token` is the one of this login.
    - `used_at` is the monotonic time of the last mail in seconds; 0 means not connected yet.
    - `clean` is True if the next mail needs no RSET, because the server accepted the previous mail (RFC 5321,
      4.1.1.4).
    - `refused` has the outcomes of the refused recipients of the current mail.
    """

    client: aiosmtplib.SMTP
    tokens: AccessTokens | None = None
    token: AccessToken | None = None
    phase: Phase = Phase.CONNECT
    mails: int = 0
    used_at: float = 0.0
    clean: bool = True
    refused: list[MailOutcome] = field(default_factory=list)

    async def connect(self) -> None:
        """Connect and log in. If the server refuses an access token, try once more with a new one.

        The TCP connection may take at most `TCP_SECONDS`. The server's greeting may take longer. Raises
        `AccessTokenError` if there is no access token.
        """
        if self.tokens is None:
            await self._connect()
            return
        self.token = await self.tokens.get()
        try:
            await self._connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code != aiosmtplib.SMTPStatus.auth_failed or not self.tokens.reject(self.token):
                raise
            self.token, self.phase = await self.tokens.get(), Phase.CONNECT
            await self._connect()

    async def _token_value(self) -> str:
        return self.token.value if self.token else ""

    async def _connect(self) -> None:
        if self.tokens:
            connecting = asyncio.create_task(self.client.connect(oauth_token_generator=self._token_value))
        else:
            connecting = asyncio.create_task(self.client.connect())
        try:
            await asyncio.wait({connecting}, timeout=TCP_SECONDS)
            if not connecting.done() and self.client.transport is None:
                raise TimeoutError
            _enable_keepalive(self.client)
            await connecting
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait({connecting})
        _enable_keepalive(self.client)
        if self.client.is_ehlo_or_helo_needed:
            self.phase = Phase.EHLO
            await self.client.ehlo()
        self.phase = Phase.MAIL

    async def prepare(self) -> None:
        """Make the connection ready for a mail: connect it if it is new, or reset it if that is necessary.

        Raises `StaleSessionError` if a pooled connection is too old or dead.
        """
        if not self.used_at:
            await self.connect()
        elif self._is_too_old():
            await self.quit()
            raise StaleSessionError
        elif not self.clean or time.monotonic() - self.used_at > PROBE_AFTER_SECONDS:
            try:
                await self.client.rset(timeout=RSET_SECONDS)
            except (aiosmtplib.SMTPException, OSError) as error:
                raise StaleSessionError from error

    def _is_too_old(self) -> bool:
        now = time.monotonic()
        if self.token is not None and now >= self.token.expires_at:
            return True  # some servers refuse mails then
        return now - self.used_at > IDLE_SECONDS or self.mails >= MAILS_PER_SESSION

    async def send_envelope(self, mail: Mail, *, rehearse: bool = False) -> MailOutcome | None:
        """Send MAIL, RCPT and DATA. Return None if the body may follow, else the outcome of the mail.

        With `rehearse`, RSET ends the mail instead of DATA, and no body may follow.

        If the server supports it, all commands are sent in one write (RFC 2920). The methods `sendmail` and
        `data` of `aiosmtplib` cannot be used. They send DATA and the body together, but the caller commits to
        the database in between. The commands have no timeout of their own, because the caller limits the
        time.
        """
        options, self.phase = "", Phase.MAIL
        if mail.smtputf8:
            if not self.client.supports_extension("smtputf8"):
                ours = not mail.sender.isascii()
                status = MailStatus.UNAVAILABLE if ours else MailStatus.DEAD
                return MailOutcome(status, Reason.SMTPUTF8_MISSING)
            # Only this mail needs the option, so a refused MAIL concerns this mail.
            options, self.phase = " SMTPUTF8", Phase.RCPT
        commands = [
            _encode_command(f"MAIL FROM:<{mail.sender}>{options}", mail.sender),
            *(_encode_command(f"RCPT TO:<{each}>", each) for each in mail.recipients),
            _RSET if rehearse else _DATA,
        ]
        outcome = await self._exchange_envelope(mail, commands)
        if outcome is not None and self.used_at and self.token and outcome.code in _LOGIN_REQUIRED:
            raise StaleSessionError  # the server no longer accepts the token of this login
        if outcome is not None and self.client.is_connected:
            await self._read_remaining_replies()
        return outcome

    async def _exchange_envelope(self, mail: Mail, commands: Sequence[bytes]) -> MailOutcome | None:
        """Send the commands and read their replies. Return an outcome as soon as the mail is refused."""
        pipelined = self.client.supports_extension(EXTENSION)
        try:
            reply = await self._exchange(*commands if pipelined else commands[:1])
        except ConnectionError as error:
            if self.used_at:
                raise StaleSessionError from error
            raise
        if self.used_at and not self.client.is_connected:
            raise StaleSessionError
        if reply.code != aiosmtplib.SMTPStatus.completed:
            return outcome_of_reply(self.phase, reply.code, reply.message, mail.sender, mail.recipients)
        self.phase = Phase.RCPT
        for command in commands[1:-1]:
            reply = await self._exchange(command)
            if reply.code not in (aiosmtplib.SMTPStatus.completed, aiosmtplib.SMTPStatus.will_forward):
                self.refused.append(
                    outcome_of_reply(Phase.RCPT, reply.code, reply.message, mail.sender, mail.recipients)
                )
                if not self.client.is_connected:
                    break
        if len(self.refused) == len(mail.recipients) or not self.client.is_connected:
            return outcome_of_rejected_recipients(self.refused)
        self.phase = Phase.DATA
        reply = await self._exchange(commands[-1])
        if reply.code == _ACCEPTED[commands[-1]]:
            return None
        return outcome_of_reply(Phase.DATA, reply.code, reply.message, mail.sender, mail.recipients)

    async def _exchange(self, *commands: bytes) -> aiosmtplib.SMTPResponse:
        """Return the reply to the first of these commands. They are sent unless they were sent already."""
        protocol = self._protocol
        if not protocol.expected:
            protocol.write_pipelined(commands)
        reply = await protocol.read_response()
        if reply.code == aiosmtplib.SMTPStatus.domain_unavailable:  # 421 ends the connection
            self.client.close()
        return reply

    async def _read_remaining_replies(self) -> None:
        """Read the replies to the commands that were sent together with a refused one.

        If the server waits for a body although it accepted no recipient, send an empty one (RFC 2920, 3.1).
        """
        protocol = self._protocol
        try:
            while protocol.expected:
                reply = await protocol.read_response()
                if not protocol.expected and reply.code == aiosmtplib.SMTPStatus.start_input:
                    protocol.write_pipelined([b".\r\n"])
        except (aiosmtplib.SMTPException, OSError):  # the outcome of the mail is known
            self.client.close()

    @property
    def _protocol(self) -> PipeliningProtocol:
        """Return the protocol of the connection. Raises `SMTPServerDisconnected` if there is none."""
        if self.client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        return cast("PipeliningProtocol", self.client.protocol)

    async def send_body(self, mail: Mail, reply_seconds: float) -> MailOutcome:
        """Send the body and return the outcome. Waits at most `reply_seconds` for the reply."""
        protocol = self._protocol
        protocol.write(mail.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.phase = Phase.BODY
        reply = await protocol.read_response(timeout=reply_seconds)
        self.mails += 1
        outcome = outcome_of_reply(Phase.BODY, reply.code, reply.message, mail.sender, mail.recipients)
        if outcome.status is MailStatus.SENT and self.refused:
            reason = Reason.RECIPIENTS_REFUSED.format(
                refused=len(self.refused), recipients=len(mail.recipients), reason=self.refused[0].reason
            )
            return replace(outcome, reason=reason)
        return outcome

    async def quit(self) -> None:
        """Send QUIT and close the connection. Ignores errors."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await self.client.quit(timeout=QUIT_SECONDS)
        self.client.close()


def _encode_command(command: str, address: str) -> bytes:
    """Return a command line. Raises `ValueError` if the address could add another command or parameter."""
    if _UNSAFE.search(address):
        raise ValueError("the address contains a character that an envelope must not contain")
    return f"{command}\r\n".encode()


def _enable_keepalive(client: aiosmtplib.SMTP) -> None:
    """Make the kernel close a connection whose host is gone, because a reply may take minutes."""
    connected: Any = client.transport.get_extra_info("socket") if client.transport else None
    if connected is None:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if option := getattr(socket, name, None):  # not on every system
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def outcome_of_exception(error: Exception, phase: Phase) -> MailOutcome:
    """Return the outcome of a mail for which `aiosmtplib` raised an exception in this phase."""
    if isinstance(error, AccessTokenError):
        return MailOutcome(MailStatus.UNAVAILABLE, NO_TOKEN, Phase.LOGIN, cause=error.reason)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        phase = Phase.LOGIN
    elif isinstance(error, aiosmtplib.SMTPHeloError):
        phase = Phase.EHLO
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return outcome_of_reply(phase, error.code, error.message)
    if isinstance(error, TimeoutError):
        return outcome_without_reply(phase, Reason.SMTP_SILENT)
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return outcome_without_reply(phase, Reason.SMTP_TLS_REFUSED)
    if isinstance(error, OSError):
        return outcome_without_reply(phase, Reason.SMTP_CONNECTION_LOST)
    # The server offers no STARTTLS, no AUTH or no known AUTH method. There is no fallback without them.
    return outcome_without_reply(phase, Reason.SMTP_SERVER_LACKS)
