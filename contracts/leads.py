"""A lead: as a website posts it (`LeadSubmission`) and as the services exchange it (`LeadReceived`)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Self
from uuid import NAMESPACE_URL, UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError
from uuid_utils.compat import uuid5

from contracts.email import Email
from contracts.extra_fields import shorten_extra
from contracts.field_types import (
    IdempotencyKey,
    Line,
    Message,
    StorableJson,
    TruncatedLine,
    normalize_names,
    unique_name,
)
from contracts.reasons import LIMIT_REASONS
from contracts.text import is_blank
from contracts.times import Timestamp
from contracts.visit import Meta, Source

_LEAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:fastcore:lead")


class LeadStatus(StrEnum):
    """The values of `lead_inbox.status`.

    A lead is `held` if its only sign of spam is that it exceeded a rate limit. No confirmation and no
    notification is sent for a `spam` or `held` lead. For the held leads of a site, the team gets one email
    that lists them. `erased` is final.
    """

    RECEIVED = "received"
    PROCESSING = "processing"
    CONTACTED = "contacted"
    WON = "won"
    LOST = "lost"
    HELD = "held"
    SPAM = "spam"
    ERASED = "erased"


def lead_id_for(site: str, key: str) -> UUID:
    """Derive a lead's id from its site and idempotency key.

    The id is a UUIDv5 (RFC 9562, 5.5). So every replica answers a repeated POST with the same id, although
    the replicas share no state.
    """
    return uuid5(_LEAD_NAMESPACE, f"{site}\n{key}")


EXAMPLE: Final[dict[str, JsonValue]] = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "service": "Web design",
    "message": "We need a new site by spring. Please call me.",
    "phone": "+44 20 7946 0000",
    "company": "Analytical Engines Ltd",
    "consent": True,
    "locale": "en-GB",
    "submitted_at": "2024-01-03T10:30:42Z",
    "source": {
        "page_url": "https://www.example.com/contact",
        "referrer": "https://www.example.org/",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "spring",
        "utm_term": "web design",
        "utm_content": "button",
        "utm_id": "2024-7",
        "gclid": "EAIaIQobChMI-example",
        "gbraid": "0AAAAA-example",
        "wbraid": "Cj8KEQ-example",
        "fbclid": "IwAR0-example",
        "msclkid": "5f1d-example",
        "ttclid": "E.C.P-example",
        "li_fat_id": "b7c1-example",
        "landing_page": "https://www.example.com/?utm_source=newsletter",
        "page_title": "Contact",
        "first_utm_source": "search",
        "first_utm_medium": "cpc",
        "first_utm_campaign": "winter",
        "first_utm_term": "web agency",
        "first_utm_content": "text ad",
        "first_utm_id": "2024-1",
        "first_referrer": "https://search.example/",
    },
    "request_id": "6f1c1f0e-5f0a-4c7e-9a55-0c8f6a1d2b3c",
    "meta": {
        "ip": "192.0.2.1",
        "user_agent": "Mozilla/5.0",
        "honeypot": "",
        "form_rendered_at": "2024-01-03T10:29:58Z",
        "fill_seconds": 44,
        "consent_text": "I agree that you answer me by email.",
        "consent_version": "2024-01",
    },
    "budget": "10,000",
}
"""A complete submission. `budget` is an unknown field, which is kept."""


class Unreadable(NamedTuple):
    """The values of a submission that do not fit their fields, as text by field name.

    They become part of `extra`. `of_visitor` has the values that the visitor entered, which count as the
    lead's content. `of_machine` has the values that the website set, which do not count.
    """

    of_visitor: dict[str, JsonValue]
    of_machine: dict[str, JsonValue]


class LeadSubmission(BaseModel):
    """The body of `POST /inbound/leads`. A lead needs an email or a phone, and some content.

    The content is a message or any other answer of the visitor. Unknown fields are stored too, so that a
    website can add a field. If they take more than 64 KiB in total, the longest values are shortened and end
    with `[shortened]`. If a key occurs twice, the last value counts, as in JavaScript.

    This model accepts only values of the right type. `contracts.forgiving` converts other values first.
    """

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={"examples": [EXAMPLE]})
    __pydantic_extra__: dict[str, StorableJson]

    name: Line | None = None
    email: Email | None = None
    service: Line | None = None
    message: Message = ""
    phone: Line | None = None
    company: Line | None = None
    consent: bool | None = None
    locale: TruncatedLine | None = None
    submitted_at: Timestamp | None = None
    source: Source | None = None
    request_id: IdempotencyKey | None = None
    meta: Meta | None = None

    @property
    def extra(self) -> dict[str, JsonValue]:
        """The unknown fields, and the values that could not be read."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        """Check that the lead can be answered and has content. Raises `PydanticCustomError`.

        The context of the validation may be an `Unreadable`, whose values are added to `extra`.
        """
        # In place, because the model is frozen and its dictionary is not.
        extra = self.__pydantic_extra__
        if extra:
            normalize_names(extra)
        unreadable = info.context
        if isinstance(unreadable, Unreadable):
            self._add_to_extra(unreadable.of_visitor)
        missing = []
        if not (self.email or is_answerable(self.phone)):
            missing.append("email")
        if not (self.message or self.name) and not self._has_other_content():
            missing.append("message")
        if missing:
            raise PydanticCustomError(INCOMPLETE, "is incomplete", {"fields": missing})
        if isinstance(unreadable, Unreadable):
            self._add_to_extra(unreadable.of_machine)
        if extra:
            shorten_extra(extra)
        return self

    def _has_other_content(self) -> bool:
        # If there is an email to answer to, a phone number is content.
        return bool(self.company or self.service or (self.email and self.phone)) or any(
            _is_filled(value) for value in self.extra.values()
        )

    def _add_to_extra(self, values: dict[str, JsonValue]) -> None:
        for name, value in values.items():
            self.extra[unique_name(name, self.extra)] = value


INCOMPLETE: Final = "incomplete"
"""The pydantic error type of a lead that has neither an address nor a phone number, or has no content."""


def field_name(loc: tuple[int | str, ...]) -> str:
    """Return the name of the submission's field to which the `loc` of a pydantic error points.

    Returns `extra` for an unknown field, because the client chose its name. Returns `body` if the error
    concerns the whole submission.
    """
    if loc and loc[0] in LeadSubmission.model_fields:
        return ".".join(str(part) for part in loc)
    return "extra" if loc else "body"


def is_answerable(phone: str | None) -> bool:
    """Return True if the text contains a letter or a digit. No other text can be a phone number."""
    return phone is not None and any(char.isalnum() for char in phone)


def _is_filled(value: JsonValue) -> bool:
    if isinstance(value, str):
        return not is_blank(value)
    if isinstance(value, list | dict):
        return any(_is_filled(item) for item in (value.values() if isinstance(value, dict) else value))
    return value is not None


class LeadReceived(BaseModel):
    """An accepted lead: the value of a record on `leads.received.v1`. Times are aware and in UTC.

    A lead has an email or a phone. `message` is empty if the visitor wrote none. `service` is empty if
    neither the lead, nor its site, nor the title of the page names one.
    """

    # NaN and infinite numbers are written as they are, not as null, so that the database rejects them.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: Timestamp
    lead_id: UUID
    request_id: str = Field(max_length=255)
    site: str = Field(max_length=100)
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str | None = None
    email: str | None = None
    service: str
    message: str
    phone: str | None = None
    company: str | None = None
    consent: bool | None = None
    consent_text: str | None = None
    consent_version: str | None = None
    locale: str | None = None
    submitted_at: Timestamp | None = None
    source: Source | None = None
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    spam_reasons: tuple[str, ...] = ()

    @property
    def first_status(self) -> LeadStatus:
        """Return the status with which the lead is stored."""
        if not self.spam_reasons:
            return LeadStatus.RECEIVED
        return LeadStatus.HELD if LIMIT_REASONS.issuperset(self.spam_reasons) else LeadStatus.SPAM


def as_received(lead: Mapping[str, Any], event_id: UUID) -> LeadReceived:
    """Return the event `LeadReceived` of a stored lead, so that a stage can process the lead again."""
    return LeadReceived.model_validate(
        {
            **lead,
            "event_id": event_id,
            "lead_id": lead["id"],
            "occurred_at": lead["created_at_utc"],
        }
    )


def lead_reference(lead_id: UUID) -> str:
    """Return the lead's reference: the short id that its emails show."""
    # The last digits: a UUIDv7 begins with the time, which leads of the same moment share.
    return str(lead_id)[-8:]


def alert_subject(lead_id: UUID) -> str:
    """Return the subject of the team notification of a lead."""
    return f"New lead {lead_reference(lead_id)}"
