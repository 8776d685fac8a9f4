"""A lead: as a website posts it (`LeadSubmission`) and as the services exchange it (`LeadReceived`)."""

from enum import StrEnum
from typing import Final, Literal, Self
from uuid import NAMESPACE_URL, UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from uuid_utils.compat import uuid5

from contracts.email import Email
from contracts.extra_fields import shorten_extra
from contracts.field_types import (
    ConsentText,
    FieldName,
    IdempotencyKey,
    Line,
    Message,
    RequiredLine,
    StorableJson,
    TruncatedLine,
    TruncatedUrl,
)
from contracts.times import Timestamp

_LEAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:fastcore:lead")


class LeadStatus(StrEnum):
    """The values of `lead_inbox.status`. `erased` is final. No email is sent for `spam`."""

    RECEIVED = "received"
    PROCESSING = "processing"
    CONTACTED = "contacted"
    WON = "won"
    LOST = "lost"
    SPAM = "spam"
    ERASED = "erased"


def lead_id_for(site: str, key: str) -> UUID:
    """Derive a lead's id from its site and idempotency key.

    The id is a UUIDv5 (RFC 9562, 5.5), so every replica answers a repeated POST with the same id without
    shared state.
    """
    return uuid5(_LEAD_NAMESPACE, f"{site}\n{key}")


class Source(BaseModel):
    """Where the visitor came from. Longer values are truncated."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    page_url: TruncatedUrl | None = None
    referrer: TruncatedUrl | None = None
    utm_source: TruncatedLine | None = None
    utm_medium: TruncatedLine | None = None
    utm_campaign: TruncatedLine | None = None
    utm_term: TruncatedLine | None = None
    utm_content: TruncatedLine | None = None


class Meta(BaseModel):
    """Anti-spam signals from the site. `ip` and `user_agent` are neither published nor stored.

    A signal may be any JSON, because bots send anything and spam is never answered with a 4xx. The gateway
    evaluates it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ip: JsonValue = Field(
        default=None, description="The visitor's IP address. Used for rate limits, not stored."
    )
    user_agent: JsonValue = Field(default=None, description="Not stored.")
    honeypot: JsonValue = Field(
        default=None, description="The value of the hidden field. Any value marks the lead as spam."
    )
    form_rendered_at: JsonValue = Field(
        default=None,
        description="When the form was displayed: ISO 8601 with time zone, or milliseconds since 1970.",
    )
    fill_seconds: JsonValue = Field(
        default=None,
        description="How long the visitor took to fill the form. Takes precedence over form_rendered_at.",
    )
    consent_text: ConsentText | None = None
    consent_version: Line | None = None


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


class LeadSubmission(BaseModel):
    """The body of `POST /inbound/leads`. Unknown fields are kept, so that a new field does not lose a lead.

    Unknown fields may take 64 KiB in total. Beyond that, the longest values are shortened and end with
    `[shortened]`.

    If a key occurs twice, the last value counts, as in JavaScript.
    """

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={"examples": [EXAMPLE]})
    __pydantic_extra__: dict[FieldName, StorableJson]

    name: RequiredLine
    email: Email
    service: RequiredLine
    message: Message
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
        """The unknown fields."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _bound_extra(self) -> Self:
        # In place, because the model is frozen and its dictionary is not.
        shorten_extra(self.extra)
        return self


class LeadReceived(BaseModel):
    """An accepted lead, the value of a record on `leads.received.v1`. Times are aware and in UTC."""

    # NaN and infinite numbers are written as they are, not as null, so that the database rejects them.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: Timestamp
    lead_id: UUID
    request_id: str = Field(max_length=255)
    site: str = Field(max_length=100)
    body_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str
    email: str
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
