"""What a website says about a visit: the visitor's source, anti-spam signals, and the consent's text."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from contracts.extra_fields import shorten_extra
from contracts.field_types import (
    ConsentText,
    Line,
    StorableJson,
    TruncatedLine,
    TruncatedUrl,
    normalize_names,
)


class Source(BaseModel):
    """Where the visitor came from.

    `utm_source` and its siblings describe the last campaign that led the visitor to the site.
    `first_utm_source` and its siblings describe the first campaign of the visit, if that was a different one.
    `landing_page` is the first page of the visit. Values that are too long are truncated. All unknown fields
    together take at most 64 KiB.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, StorableJson]

    page_url: TruncatedUrl | None = None
    referrer: TruncatedUrl | None = None
    utm_source: TruncatedLine | None = None
    utm_medium: TruncatedLine | None = None
    utm_campaign: TruncatedLine | None = None
    utm_term: TruncatedLine | None = None
    utm_content: TruncatedLine | None = None
    utm_id: TruncatedLine | None = None
    gclid: TruncatedUrl | None = None
    gbraid: TruncatedUrl | None = None
    wbraid: TruncatedUrl | None = None
    fbclid: TruncatedUrl | None = None
    msclkid: TruncatedUrl | None = None
    ttclid: TruncatedUrl | None = None
    li_fat_id: TruncatedUrl | None = None
    landing_page: TruncatedUrl | None = None
    page_title: TruncatedLine | None = None
    first_utm_source: TruncatedLine | None = None
    first_utm_medium: TruncatedLine | None = None
    first_utm_campaign: TruncatedLine | None = None
    first_utm_term: TruncatedLine | None = None
    first_utm_content: TruncatedLine | None = None
    first_utm_id: TruncatedLine | None = None
    first_referrer: TruncatedUrl | None = None

    @property
    def extra(self) -> dict[str, JsonValue]:
        """The fields that the website sent and this model does not define."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _bound_extra(self) -> Self:
        if extra := self.extra:  # in place, because the model is frozen and its dictionary is not
            normalize_names(extra)
            shorten_extra(extra)
        return self


class Meta(BaseModel):
    """Anti-spam signals, and the text and version of the consent. Only the consent is published and stored.

    The gateway evaluates the signals. A signal may have any JSON type: bots send arbitrary values, and the
    gateway accepts their leads and marks them as spam.
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
