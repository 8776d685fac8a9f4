"""A lead: as the website posts it (`LeadSubmission`) and as the services hand it on (`LeadReceived`)."""

import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self
from uuid import NAMESPACE_URL, UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from uuid_utils.compat import uuid5

from contracts.email import Email
from contracts.extra_fields import shorten_extra

EXTRA_MAX_DEPTH: Final = 16
# JSON's numbers are doubles to most readers: what a double cannot hold is not finite to them.
_DOUBLE_BITS: Final = 1024
_LEAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:fastcore:lead")
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2199, 12, 31, tzinfo=UTC)
_CONTROL: Final = re.compile(r"[\x01-\x1f\x7f-\x9f]+")


class LeadStatus(StrEnum):
    """`lead_inbox.status`. `erased` is terminal; `spam` is never mailed."""

    RECEIVED = "received"
    PROCESSING = "processing"
    CONTACTED = "contacted"
    WON = "won"
    LOST = "lost"
    SPAM = "spam"
    ERASED = "erased"


def lead_id_for(site: str, key: str) -> UUID:
    """Derive a lead's id from the site and its idempotency key.

    UUIDv5 (RFC 9562, 5.5), so every replica answers a repeated POST alike without shared state.
    """
    return uuid5(_LEAD_NAMESPACE, f"{site}\n{key}")


def _storable(value: str) -> str:
    # PostgreSQL's text and jsonb hold neither NUL nor a lone surrogate, and neither survives UTF-8
    # JSON: refused here, or they become poison behind. Printable text has neither.
    if not value.isprintable():
        if "\x00" in value:
            raise ValueError("must not contain NUL characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            # From None: the encoder's error holds the text.
            raise ValueError("must not contain lone surrogates") from None
    return value


def _text(value: str) -> str:
    return _storable(value).strip()


def _line(value: str) -> str:
    if value.isprintable():
        return value.strip()
    return _CONTROL.sub(" ", _storable(value)).strip()


def _not_empty(value: str) -> str:
    # What was nothing but control characters is seen to be empty only now.
    if not value:
        raise ValueError("must not be empty")
    return value


def _cut_to(maximum: int) -> AfterValidator:
    # For what machines filled in: no visitor can shorten a URL, so a long one must not cost a lead.
    return AfterValidator(lambda value: _line(value)[:maximum])


def _plausible(value: datetime) -> datetime:
    # Near the ends of the calendar a time zone overflows, in our readers or in the driver, and
    # asyncpg stores the very first and last moments as infinite ones, which it reads back without a zone.
    if not 1970 <= value.year < 2200:
        raise ValueError("must lie between the years 1970 and 2200")
    return value.astimezone(UTC)


def _cut(value: datetime) -> datetime:
    return min(max(value, _EARLIEST), _LATEST)


def _finite(value: float) -> None:
    if isinstance(value, int):
        if value.bit_length() > _DOUBLE_BITS:
            raise ValueError("must not contain numbers beyond the range of a double")
    elif not math.isfinite(value):
        raise ValueError("must not contain NaN or infinite numbers")


def _storable_json(value: JsonValue, depth: int = 1) -> JsonValue:
    """Refuse what JSON or jsonb behind us cannot hold, at any depth."""
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, int | float):
        _finite(value)
    elif value is not None:
        if depth > EXTRA_MAX_DEPTH:
            raise ValueError(f"must not be nested deeper than {EXTRA_MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                _storable(key)
        for item in value.values() if isinstance(value, dict) else value:
            _storable_json(item, depth + 1)
    return value


# Bounds first, which pydantic's core checks by itself; our own look at the characters after them.
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_line)]
RequiredLine = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_line),
    AfterValidator(_not_empty),
]
Message = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(_text),
    AfterValidator(_not_empty),
]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_text)]
ConsentText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_text)]
TruncatedLine = Annotated[str, _cut_to(200)]
TruncatedUrl = Annotated[str, _cut_to(2048)]
IdempotencyKey = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x20-\x7e]{1,255}$")]
Timestamp = Annotated[AwareDatetime, AfterValidator(_plausible)]
# For what stands beside a record that must be kept whatever its clock said.
ClampedTimestamp = Annotated[AwareDatetime, AfterValidator(_cut)]


class Source(BaseModel):
    """Where the visitor came from. What is too long is cut."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    page_url: TruncatedUrl | None = None
    referrer: TruncatedUrl | None = None
    utm_source: TruncatedLine | None = None
    utm_medium: TruncatedLine | None = None
    utm_campaign: TruncatedLine | None = None
    utm_term: TruncatedLine | None = None
    utm_content: TruncatedLine | None = None


class Meta(BaseModel):
    """Signals of the visitor that the site passes on. `ip` and `user_agent` are neither published nor stored.

    Bots fill these with anything, and what looks like spam is never a 4xx: so a signal may be any
    JSON, and the gateway judges it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ip: JsonValue = Field(default=None, description="The visitor's address; counted, not kept.")
    user_agent: JsonValue = Field(default=None, description="Not kept.")
    honeypot: JsonValue = Field(default=None, description="The hidden field: anything in it is spam.")
    form_rendered_at: JsonValue = Field(
        default=None,
        description="When the form was shown: ISO 8601 with its zone, or milliseconds since 1970.",
    )
    fill_seconds: JsonValue = Field(
        default=None,
        description="How long the form took to fill, measured by the site; counts before form_rendered_at.",
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
"""A whole submission; `budget` is a field that we do not know, and keep."""


class LeadSubmission(BaseModel):
    """The body of `POST /inbound/leads`. Unknown fields are kept: a new field must not lose a lead.

    Unknown fields may take 64 KiB in total. Beyond that the longest values are shortened and end with
    `[shortened]`.

    Of a key given twice the last one counts, as in JavaScript.
    """

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={"examples": [EXAMPLE]})
    __pydantic_extra__: dict[
        Annotated[str, AfterValidator(_storable)], Annotated[JsonValue, AfterValidator(_storable_json)]
    ]

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
        """The fields that we do not know."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _bound_extra(self) -> Self:
        # In place: the model is frozen, its dictionary is not.
        shorten_extra(self.extra)
        return self


class LeadReceived(BaseModel):
    """The value on `leads.received.v1`: one lead, accepted. Times are aware UTC."""

    # A number that JSON does not know is written as it came, not as null: it is for the database to refuse.
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
