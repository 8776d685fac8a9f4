"""Reads messages over IMAP, and moves or deletes them. Blocks: run it in a thread.

Each reply of the server is waited for at most `REPLY_SECONDS`, and a connection lasts at most
`CONNECTION_SECONDS`. There is no fallback to plain text.
"""

import contextlib
import imaplib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtime.failures import DependencyUnavailable
from runtime.oauth_tokens import AccessToken, xoauth2_response
from services.flusher.bounces.reports import REPORT_MAX_BYTES
from services.flusher.settings import BounceMailbox

REPLY_SECONDS: Final = 20.0
CONNECTION_SECONDS: Final = 45.0
IMPLICIT_TLS_PORT: Final = 993
# Older messages are not read: what they are about has long been seen.
DAYS: Final = 7


class MailboxRefused(DependencyUnavailable):
    """The server answers NO: to the login, or to a command about one message. The connection still works."""


class _BoundedConnection(imaplib.IMAP4):
    """Shuts the socket after `CONNECTION_SECONDS`: a server may send a byte now and then, forever."""

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        super().open(host, port, timeout)
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="mailbox watch", daemon=True).start()

    def _watch(self) -> None:
        seconds = CONNECTION_SECONDS
        while not self._closed.wait(seconds):
            self.abort_connection()
            seconds = 1.0  # again: STARTTLS replaces the socket

    def abort_connection(self) -> None:
        """End the commands that wait for the server, from any thread."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def read(self, size: int) -> bytes:
        """Return `size` bytes. Raises `abort` if the server announces more than a report may have."""
        if size > REPORT_MAX_BYTES:
            raise self.abort("a literal is too long")
        return super().read(size)

    def shutdown(self) -> None:
        """Close the socket."""
        self._closed.set()
        super().shutdown()


class _BoundedTlsConnection(_BoundedConnection, imaplib.IMAP4_SSL):  # type: ignore[misc] # other defaults
    """A `_BoundedConnection` with implicit TLS."""


class ImapMailbox:
    """One connection to the mailbox.

    `validity` (UIDVALIDITY) changes if the server assigns new UIDs to the messages.
    """

    def __init__(self, connection: _BoundedConnection, settings: BounceMailbox) -> None:
        self._connection = connection
        self._settings = settings
        self._capabilities = frozenset[bytes]()
        self.validity = b""

    @classmethod
    def open(cls, settings: BounceMailbox, user: str, secret: str | AccessToken) -> "ImapMailbox":
        """Connect, log in and select the folder. `secret` is a password, or a token for XOAUTH2.

        Raises `MailboxRefused` if the server refuses the login, else `DependencyUnavailable`.
        """
        with _translated_errors():
            mailbox = cls(_connect(settings), settings)
            try:
                mailbox._log_in(user, secret)
                mailbox._select()
            except BaseException:
                mailbox.close()
                raise
            return mailbox

    def abort(self) -> None:
        """End the connection from any thread. Does not block."""
        self._connection.abort_connection()

    def close(self) -> None:
        """Log out, and close the connection."""
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self._connection.logout()
        with contextlib.suppress(OSError):
            self._connection.shutdown()

    def _log_in(self, user: str, secret: str | AccessToken) -> None:
        try:
            if isinstance(secret, AccessToken):
                responses = iter((xoauth2_response(user, secret),))
                # A refusal is a second challenge, whose response is empty. Then the server answers NO.
                self._connection.authenticate("XOAUTH2", lambda _: next(responses, b""))
            else:
                self._connection.login(user, secret)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error:
            raise MailboxRefused("mailbox", "the mailbox's server refused the login") from None

    def _select(self) -> None:
        # Servers list MOVE and UIDPLUS only after the login. imaplib keeps the list from before it.
        data = self._check(*self._connection.capability())
        self._capabilities = frozenset(data[0].upper().split())
        self._check(*self._connection.select(_quoted(self._settings.folder)))
        _, found = self._connection.response("UIDVALIDITY")
        self.validity = (found[0] if found and isinstance(found[0], bytes) else None) or b"0"

    def recent(self) -> list[bytes]:
        """Return the UIDs of the messages of the last days, oldest first."""
        since = (datetime.now(UTC) - timedelta(days=DAYS)).strftime("%d-%b-%Y")
        with _translated_errors():
            data = self._check(*self._connection.uid("SEARCH", f"SINCE {since} UNDELETED"))
            return data[0].split() if data and isinstance(data[0], bytes) else []

    def fetch(self, uid: bytes) -> bytes:
        """Return the beginning of a message, without marking it as read. Empty if it is gone."""
        with _translated_errors():
            data = self._check(
                *self._connection.uid("FETCH", uid.decode(), f"(BODY.PEEK[]<0.{REPORT_MAX_BYTES}>)")
            )
            return next((bytes(each[1]) for each in data if isinstance(each, tuple)), b"")

    def remove(self, uid: bytes) -> None:
        """Move a message to the folder for messages that were read, or delete it if there is none."""
        name, folder = uid.decode(), self._settings.done_folder
        with _translated_errors():
            if folder:
                target = _quoted(folder)
                if b"MOVE" in self._capabilities:
                    if self._connection.uid("MOVE", name, target)[0] == "OK":
                        return
                    self._connection.create(target)
                    self._check(*self._connection.uid("MOVE", name, target))
                    return
                self._connection.create(target)  # an answer NO means that it exists
                self._check(*self._connection.uid("COPY", name, target))
            self._check(*self._connection.uid("STORE", name, "+FLAGS.SILENT", r"(\Deleted)"))
            if b"UIDPLUS" in self._capabilities:
                self._check(*self._connection.uid("EXPUNGE", name))

    @staticmethod
    def _check(status: str, data: Any) -> Any:
        if status != "OK":
            raise MailboxRefused("mailbox", "the mailbox's server refused a command")
        return data


def _connect(settings: BounceMailbox) -> _BoundedConnection:
    context = ssl.create_default_context()
    if settings.port == IMPLICIT_TLS_PORT:
        return _BoundedTlsConnection(settings.host, settings.port, ssl_context=context, timeout=REPLY_SECONDS)
    connection = _BoundedConnection(settings.host, settings.port, timeout=REPLY_SECONDS)
    try:
        connection.starttls(context)
    except BaseException:
        with contextlib.suppress(OSError):
            connection.shutdown()
        raise
    return connection


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise `DependencyUnavailable` for an error of the server or the network. The text may name a person."""
    try:
        yield
    except (OSError, imaplib.IMAP4.error) as error:
        refused = isinstance(error, imaplib.IMAP4.error) and not isinstance(error, imaplib.IMAP4.abort)
        reason = "refused the login or a command" if refused else f"does not answer ({type(error).__name__})"
        raise DependencyUnavailable("mailbox", f"the mailbox's server {reason}") from None
