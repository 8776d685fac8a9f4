"""Stores each email as an .eml file: lines with the envelope, then the exact bytes of the email.

The name of a file is the time at which its email arrived.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from functools import lru_cache
from pathlib import Path
from typing import Any

from deploy.embedded.secret_files import restrict

_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")


Mail = dict[str, Any]
"""The fields of an email that the pages and the JSON show."""


class MailStore:
    """The folder of emails. The order of their ids is the order of their arrival."""

    def __init__(self, folder: Path) -> None:
        restrict(folder)
        self.folder = folder
        # An email never changes, so a list of thousands that is polled reads each file once.
        self._summary = lru_cache(maxsize=20_000)(self._read_summary)

    def add(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Write an email atomically, and return its id. Raises `OSError` if the disk is full."""
        mail_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        envelope = [f"Return-Path: <{sender}>", *(f"Delivered-To: {one}" for one in recipients)]
        head = "".join(f"{line}\r\n" for line in envelope).encode("utf-8", "surrogateescape")
        temporary = self.folder / f".{mail_id}.part"
        temporary.write_bytes(head + content)
        temporary.rename(self.folder / f"{mail_id}.eml")
        return mail_id

    def ids(self) -> list[str]:
        """Return the ids of all emails, newest first."""
        names = (entry.name for entry in os.scandir(self.folder))
        return sorted((name[:-4] for name in names if name.endswith(".eml")), reverse=True)

    def summaries(self, ids: Iterable[str]) -> list[Mail]:
        """Return the fields that a list of emails shows. Omits emails that were deleted meanwhile."""
        summaries = []
        for mail_id in ids:
            with suppress(FileNotFoundError):
                summaries.append(self._summary(mail_id))
        return summaries

    def read(self, mail_id: str) -> Mail | None:
        """Return one email with its text, HTML and headers, or None if it does not exist."""
        source = self.source(mail_id)
        if source is None:
            return None
        message = BytesParser(policy=policy.default).parsebytes(source)
        return {
            **_summary(mail_id, _read_headers(message)),
            "text": _read_body(message, "plain"),
            "html": _read_body(message, "html"),
            "headers": _read_headers(message),
        }

    def source(self, mail_id: str) -> bytes | None:
        """Return the bytes of the email's file, or None if the email does not exist."""
        try:
            return self._path(mail_id).read_bytes() if _ID.fullmatch(mail_id) else None
        except FileNotFoundError:
            return None

    def clear(self) -> int:
        """Delete all emails, and return how many there were."""
        ids = self.ids()
        for mail_id in ids:
            self._path(mail_id).unlink(missing_ok=True)
        self._summary.cache_clear()
        return len(ids)

    def _path(self, mail_id: str) -> Path:
        return self.folder / f"{mail_id}.eml"

    def _read_summary(self, mail_id: str) -> Mail:
        with self._path(mail_id).open("rb") as file:
            message = BytesHeaderParser(policy=policy.default).parse(file)
        return _summary(mail_id, _read_headers(message))


def _summary(mail_id: str, headers: list[tuple[str, str]]) -> Mail:
    def values(key: str) -> list[str]:
        return [value for name, value in headers if name.lower() == key]

    summary: Mail = {"id": mail_id, "to": values("delivered-to")}
    for key in ("from", "subject", "date", "message-id"):
        summary[key.replace("-", "_")] = next(iter(values(key)), "")
    return summary


def _read_headers(message: EmailMessage) -> list[tuple[str, str]]:
    return [(name, _decode_header(name, str(value))) for name, value in message.raw_items()]


def _decode_header(name: str, value: str) -> str:
    try:
        return str(policy.default.header_fetch_parse(name, value)).strip()
    except Exception:  # noqa: BLE001 - the parser fails on some malformed headers; show them raw
        return value


def _read_body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # an unknown charset
        return content.decode("utf-8", "replace")
