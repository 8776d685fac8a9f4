"""A lead: as the website posts it (`LeadSubmission`) and as the services hand it on (`LeadReceived`)."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    JsonValue,
    StringConstraints,
)

EXTRA_MAX_BYTES: Final = 4096
_LEAD_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:fastcore:lead")
_CONTROL: Final = re.compile(r"[\x01-\x1f\x7f]+")


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


def _no_nul(value: str) -> str:
    # PostgreSQL's text and jsonb cannot hold NUL: refused here, or it becomes poison behind.
    if "\x00" in value:
        msg = "must not contain NUL characters"
        raise ValueError(msg)
    return value


def _one_line(value: str) -> str:
    return _CONTROL.sub(" ", _no_nul(value))


def _bounded(maximum: int, minimum: int = 0) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=minimum, max_length=maximum)


Line = Annotated[str, _bounded(200), AfterValidator(_one_line)]
RequiredLine = Annotated[str, _bounded(200, 1), AfterValidator(_one_line)]
Url = Annotated[str, _bounded(2048), AfterValidator(_one_line)]
Message = Annotated[str, _bounded(10_000, 1), AfterValidator(_no_nul)]
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,255}$")]


class Source(BaseModel):
    """Where the visitor came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    page_url: Url | None = None
    referrer: Url | None = None
    utm_source: Line | None = None
    utm_medium: Line | None = None
    utm_campaign: Line | None = None
    utm_term: Line | None = None
    utm_content: Line | None = None


class Meta(BaseModel):
    """Signals of the visitor that the site passes on. `ip` and `user_agent` are neither published nor stored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ip: Line | None = None
    user_agent: Annotated[str, _bounded(1000)] | None = None
    honeypot: Annotated[str, _bounded(1000)] | None = None
    form_rendered_at: AwareDatetime | None = None
    consent_text: Annotated[str, _bounded(2000), AfterValidator(_no_nul)] | None = None
    consent_version: Line | None = None


class LeadSubmission(BaseModel):
    """The body of `POST /inbound/leads`. Unknown fields are kept: a new field must not lose a lead."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: RequiredLine
    email: EmailStr
    service: RequiredLine
    message: Message
    phone: Line | None = None
    company: Line | None = None
    consent: bool | None = None
    locale: Line | None = None
    submitted_at: AwareDatetime | None = None
    source: Source | None = None
    request_id: IdempotencyKey | None = None
    meta: Meta | None = None


class LeadReceived(BaseModel):
    """The value on `leads.received.v1`: one lead, accepted. Times are aware UTC."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: AwareDatetime
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
    submitted_at: AwareDatetime | None = None
    source: Source | None = None
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    spam_reasons: tuple[str, ...] = ()
