"""What became of an email after a mail server had accepted it: `MailEvent`, a record of `mail.events.v1`.

The gateway publishes the events that mail providers send to it. The flusher publishes the events that it
reads from bounce reports and spam complaints that came by mail.
"""

import re
from typing import Any, Final, Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.times import ClampedTimestamp

MailSource = Literal["sendgrid", "ses", "postmark", "mailgun", "report"]
"""A mail provider, or `report`: a message in the mailbox of the sender (RFC 3464, RFC 5965)."""
MailEventType = Literal["bounced", "complained"]
MailKind = Literal["welcome", "admin_alert", "alert_digest", "held_digest"]
"""The last two are emails to the team that list several leads: new ones, or held ones."""

ANSWER_MAX_LENGTH: Final = 1000
QUEUE_IDS_MAX: Final = 20
DIGEST_KINDS: Final = ("alert_digest", "held_digest")
_NAMESPACE: Final = UUID("0f6b2d52-2b0e-5f43-8a44-6d0c7a2f9d10")
# A Message-ID that FASTCore made, or its part before the @, anywhere in a text.
_MAIL: Final = re.compile(
    r"(?<![0-9A-Za-z-])([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"\.(welcome|admin_alert|alert_digest|held_digest)(?![0-9A-Za-z_])",
    re.IGNORECASE,
)
_KINDS: Final[dict[str, MailKind]] = {
    "welcome": "welcome",
    "admin_alert": "admin_alert",
    "alert_digest": "alert_digest",
    "held_digest": "held_digest",
}
_ENHANCED: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE: Final = re.compile(r"(?<![\d.])([245]\d\d)(?![\d.])")
# RFC 3463. The address does not exist or takes no mail any more, whoever sends to it.
_ADDRESS_STATUSES: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
# The enhanced status says nothing more than the class of the reply.
_GENERAL_STATUSES: Final = frozenset({"5.0.0", "5.1.0", None})
_ADDRESS_CODES: Final = frozenset({550, 551, 553})


class MailEvent(BaseModel):
    """An email that came back (`bounced`), or that its recipient reported as spam (`complained`).

    `event_id` is derived from the provider's own id, so a repeated event changes nothing. `hard` means that
    the address itself is at fault. `code` and `enhanced` are the server's reply code and status (RFC 3463).
    A digest has a `digest_id` in place of a `lead_id`. The flusher makes an event of each `admin_alert` that
    the digest listed, with both ids. `recipient` and `answer` (the server's text) are personal data.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: ClampedTimestamp
    source: MailSource
    type: MailEventType
    lead_id: UUID | None = None
    digest_id: UUID | None = None
    kind: MailKind
    hard: bool = False
    code: int | None = Field(default=None, ge=200, le=599)
    enhanced: str | None = Field(default=None, pattern=r"^[245]\.\d{1,3}\.\d{1,3}$")
    recipient: str | None = Field(default=None, max_length=320)
    answer: str | None = Field(default=None, max_length=ANSWER_MAX_LENGTH)
    queue_ids: tuple[str, ...] = Field(default=(), max_length=QUEUE_IDS_MAX)
    """Of a report: the ids under which mail servers had the email. A forger does not know them."""

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        if (self.digest_id if self.kind in DIGEST_KINDS else self.lead_id) is None:
            raise ValueError("lead_id is missing, or digest_id of a digest")
        return self

    @property
    def key(self) -> bytes:
        """Return the key of the event's record: the events of one lead, or of one digest, stay in order."""
        return str(self.lead_id or self.digest_id).encode()


def mail_event_id(source: MailSource, *parts: str) -> UUID:
    """Return the id of an event. `parts` identify the event at its source."""
    return uuid5(_NAMESPACE, "\n".join([source, *parts]).encode(errors="replace").decode())


def mail_named_in(value: object) -> tuple[UUID, MailKind] | None:
    """Return the email whose Message-ID a text contains: the id of its lead or digest, and its kind."""
    if not isinstance(value, str) or not (found := _MAIL.search(value)):
        return None
    return UUID(found[1]), _KINDS[found[2].lower()]


def mail_fields(mail_id: UUID, kind: MailKind) -> dict[str, Any]:
    """Return the fields of a `MailEvent` that name the email."""
    return {"kind": kind, "digest_id" if kind in DIGEST_KINDS else "lead_id": mail_id}


def mail_tag(mail_id: UUID, kind: str) -> str:
    """Return the part of a Message-ID before the @, by which a provider's event names its email."""
    return f"{mail_id}.{kind}"


def status_in(text: str) -> tuple[int | None, str | None]:
    """Return the first reply code and the first enhanced status in a mail server's text."""
    code, enhanced = _CODE.search(text), _ENHANCED.search(text)
    return (int(code[1]) if code else None), (enhanced[1] if enhanced else None)


def is_hard_bounce(code: int | None, enhanced: str | None) -> bool:
    """Return True if a final refusal concerns the address, not the email, its sender or a full mailbox."""
    return enhanced in _ADDRESS_STATUSES or (enhanced in _GENERAL_STATUSES and code in _ADDRESS_CODES)
