"""Reads a message that says that an email came back or was reported as spam. No I/O, no clock.

Delivery reports have the format of RFC 3464, or are texts such as qmail's. Complaints have that of RFC 5965.
Any bytes are accepted: a message that is not a report has no events.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from contracts.mail_events import (
    ANSWER_MAX_LENGTH,
    QUEUE_IDS_MAX,
    MailEvent,
    MailEventType,
    MailKind,
    is_hard_bounce,
    mail_event_id,
    mail_fields,
    mail_named_in,
    status_in,
)

REPORT_MAX_BYTES: Final = 1024 * 1024
"""Only the beginning of a longer message is read."""
_PARTS_MAX: Final = 100
_RECIPIENTS_MAX: Final = 100
_FIELD_MAX: Final = 2000
# Headers of the report that may name the email, if the report does not return the email's headers.
_REFERENCES: Final = ("In-Reply-To", "References")
_QMAIL: Final = re.compile(
    r"^<(?P<address>[^<>\s]{3,320})>:\s*\n(?P<answer>.{0,2000}?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL
)
_FAILURE: Final = re.compile(
    r"permanent error|address failed|undeliverable|could not be delivered|wasn't delivered"
    r"|delivery has failed|delivery to .{0,200}failed|user unknown|no such user",
    re.IGNORECASE,
)

# `X-Postfix-Queue-ID` of a report, and `id` in the headers Received of the email that it returns.
_QUEUE_ID: Final = re.compile(
    rb"(?:-Queue-ID:|\bid)[ \t\r\n]{1,80}([A-Za-z0-9][A-Za-z0-9._-]{7,99})", re.IGNORECASE
)

Result = Literal["events", "delayed", "no report", "unmatched"]


class Report(NamedTuple):
    """The events of a message. Without events, `result` says why."""

    events: tuple[MailEvent, ...]
    result: Result


class _Refusal(NamedTuple):
    """What a report says of one recipient. `action` is that of RFC 3464, such as `failed`."""

    action: str
    recipient: str
    answer: str
    status: str


def read_report(content: bytes, now: datetime) -> Report:
    """Return the events in a message. Any bytes are accepted.

    A report without a valid date has the time `now`.
    """
    try:
        content = content[:REPORT_MAX_BYTES]
        message = message_from_bytes(content, policy=policy.compat32)
        report_id = _value(message, "Message-ID") or hashlib.sha256(content).hexdigest()
        report = _read(message, report_id, now)
        ids = tuple(dict.fromkeys(each[1].decode() for each in _QUEUE_ID.finditer(content)))[-QUEUE_IDS_MAX:]
        return report._replace(
            events=tuple(each.model_copy(update={"queue_ids": ids}) for each in report.events)
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError, IndexError):
        # Parsers of the standard library raise such errors for some broken headers and encodings.
        return Report((), "no report")


def _read(message: Message, report_id: str, now: datetime) -> Report:
    parts = list(_parts(message))
    complaint = next((part for part in parts if part.get_content_type() == "message/feedback-report"), None)
    refusals = [] if complaint else _refusals(message, parts)
    failed = [each for each in refusals if each.action == "failed"]
    if complaint is None and not failed:
        return Report((), "delayed" if refusals else "no report")
    mail = _find_mail(message, parts)
    if mail is None:
        return Report((), "unmatched")
    at = _date_of(message) or now
    if complaint is not None:
        fields = _fields(complaint)
        if "not-spam" in _value(fields, "Feedback-Type"):
            return Report((), "no report")
        recipient = _address(_value(fields, "Original-Rcpt-To"))
        return Report((_event("complained", mail, recipient, at, report_id),), "events")
    events = tuple(
        _event("bounced", mail, each.recipient, at, report_id, each.answer, each.status) for each in failed
    )
    return Report(events, "events")


def _event(
    kind: MailEventType,
    mail: tuple[UUID, MailKind],
    recipient: str,
    at: datetime,
    report_id: str,
    answer: str = "",
    status: str = "",
) -> MailEvent:
    code, enhanced = status_in(answer)
    enhanced = status_in(status)[1] or enhanced
    if enhanced in ("5.0.0", "4.0.0"):  # Postfix and others: the reply says more
        enhanced = status_in(answer)[1] or enhanced
    return MailEvent(
        event_id=mail_event_id("report", report_id, kind, str(mail[0]), mail[1], recipient),
        occurred_at=at,
        source="report",
        type=kind,
        hard=kind == "bounced" and is_hard_bounce(code, enhanced),
        code=code,
        enhanced=enhanced,
        recipient=recipient[:320] or None,
        answer=answer[:ANSWER_MAX_LENGTH] or None,
        **mail_fields(*mail),
    )


def _parts(message: Message) -> Iterator[Message]:
    for number, part in enumerate(message.walk()):
        if number >= _PARTS_MAX:
            return
        yield part


def _refusals(message: Message, parts: list[Message]) -> list[_Refusal]:
    for part in parts:
        # The standard parser makes a part of each group of fields. Some servers call the part text/plain.
        if part.get_content_type() == "message/delivery-status":
            return list(_groups(part))
    return list(_qmail_refusals(message, parts))


def _groups(part: Message) -> Iterator[_Refusal]:
    payload = part.get_payload()
    groups = payload if isinstance(payload, list) else []
    for group in groups[: _RECIPIENTS_MAX + 1]:
        if not isinstance(group, Message):
            continue
        action = _value(group, "Action").lower()
        if not action:  # the fields of the whole message
            continue
        recipient = _value(group, "Original-Recipient") or _value(group, "Final-Recipient")
        yield _Refusal(
            action.partition(" ")[0],
            _address(recipient),
            _without_type(_value(group, "Diagnostic-Code")),
            _value(group, "Status"),
        )


def _qmail_refusals(message: Message, parts: list[Message]) -> Iterator[_Refusal]:
    """Yield the refusals of a report in plain text, such as qmail's and older ones of Exim."""
    from_server = _value(message, "Return-Path") == "<>"
    from_server = from_server or "mailer-daemon" in _value(message, "From").lower()
    text = next((_text_of(part) for part in parts if part.get_content_type() == "text/plain"), "")
    if not from_server or not _FAILURE.search(text):
        return
    found = [*_QMAIL.finditer(text)][:_RECIPIENTS_MAX]
    for each in found:
        answer = " ".join(each["answer"].split())
        yield _Refusal("failed", each["address"], answer, "")
    if not found:
        recipient = _address(_value(message, "X-Failed-Recipients").partition(",")[0])
        yield _Refusal("failed", recipient, " ".join(text[:_FIELD_MAX].split())[:ANSWER_MAX_LENGTH], "")


def _find_mail(message: Message, parts: list[Message]) -> tuple[UUID, MailKind] | None:
    """Return the email that a report is about, from the returned headers, or else from the report's own."""
    for part in parts[1:]:
        # The returned message or its headers: message/rfc822 is parsed, the other forms are text.
        if mail := mail_named_in(_value(part, "Message-ID")):
            return mail
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers") and (
            mail := _mail_in_text(_text_of(part))
        ):
            return mail
    for name in _REFERENCES:
        if mail := mail_named_in(_value(message, name)):
            return mail
    texts = (_text_of(part) for part in parts if part.get_content_maintype() == "text")
    return next((mail for text in texts if (mail := _mail_in_text(text))), None)


def _mail_in_text(text: str) -> tuple[UUID, MailKind] | None:
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator and name.strip().lower() == "message-id" and (mail := mail_named_in(value)):
            return mail
    return None


def _text_of(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload.decode("utf-8", "replace").replace("\r\n", "\n")
    inner = part.get_payload()
    if isinstance(inner, list):  # the parser takes some parts for messages
        return "\n".join(str(each) for each in inner[:2])
    return str(inner)


def _fields(part: Message) -> Message:
    """Return the fields of a machine-readable part, which the parser takes for a message or for text."""
    payload = part.get_payload()
    if isinstance(payload, list) and payload and isinstance(payload[0], Message):
        return payload[0]
    return message_from_bytes(_text_of(part).encode(errors="replace"), policy=policy.compat32)


def _value(message: Message, name: str) -> str:
    """Return the value of a header in one line, or an empty text."""
    value = message.get(name)
    return " ".join(str(value)[:_FIELD_MAX].split()) if value is not None else ""


def _without_type(value: str) -> str:
    """Return a field without its type, such as `smtp;`."""
    head, separator, rest = value.partition(";")
    return rest.strip() if separator and head.strip().isalnum() else value


def _address(value: str) -> str:
    """Return the address in a field such as `rfc822; ada@example.com`, or an empty text."""
    address = value.rpartition(";")[2].strip().strip("<>").strip()
    return address if "@" in address and " " not in address else ""


def _date_of(message: Message) -> datetime | None:
    try:
        at = parsedate_to_datetime(_value(message, "Date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC) if 1970 < at.year < 2200 else None
