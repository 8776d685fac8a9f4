"""Reads messages over IMAP, and moves or deletes them. Blocks: run it in a thread.

Each reply of the server is waited for at most `REPLY_SECONDS`. There is no fallback to plain text.
"""

import contextlib
import imaplib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runtime.failures import DependencyUnavailable
from services.flusher.bounces.reports import REPORT_MAX_BYTES
from services.flusher.settings import BounceMailbox

REPLY_SECONDS: Final = 20.0
IMPLICIT_TLS_PORT: Final = 993
# Older messages are not read: what they are about has long been seen.
DAYS: Final = 7


class ImapMailbox:
    """One connection to the mailbox. `validity` changes if the server numbers the messages anew."""

    def __init__(self, connection: imaplib.IMAP4, settings: BounceMailbox) -> None:
        self._connection = connection
        self._settings = settings
        self._capabilities = frozenset[bytes]()
        self.validity = b""

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: BounceMailbox) -> Iterator["ImapMailbox"]:
        """Connect, log in and select the folder. Raises `DependencyUnavailable`."""
        with _translated_errors():
            mailbox = cls(_connect(settings), settings)
            try:
                mailbox._log_in()
                yield mailbox
            finally:
                with contextlib.suppress(OSError, imaplib.IMAP4.error):
                    mailbox._connection.logout()

    def _log_in(self) -> None:
        self._connection.login(self._settings.user, self._settings.password.get_secret_value())
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
            raise DependencyUnavailable("mailbox", "the mailbox's server refused a command")
        return data


def _connect(settings: BounceMailbox) -> imaplib.IMAP4:
    context = ssl.create_default_context()
    if settings.port == IMPLICIT_TLS_PORT:
        return imaplib.IMAP4_SSL(settings.host, settings.port, ssl_context=context, timeout=REPLY_SECONDS)
    connection = imaplib.IMAP4(settings.host, settings.port, timeout=REPLY_SECONDS)
    try:
        connection.starttls(context)
    except BaseException:
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
