"""The model of the sites file. It reads no file and no environment.

Its error messages say what a value must be. They never repeat the value, which may be a secret or an
address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from runtime.sites.destinations import Destination
from runtime.sites.dkim import Dkim
from runtime.sites.field_targets import check_target
from runtime.sites.mail import (
    AlertFrequency,
    AlertRule,
    Hour,
    Line,
    LocaleTag,
    MailAddress,
    ReplyAddress,
    SenderValue,
    TimeZone,
)
from runtime.sites.reply import Reply

SITE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|sha256:[0-9a-f]{64}")
_FORM_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,100}")


def _check_reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise ValueError(
            "must be env:VARIABLE or sha256: and 64 hex digits; the file never holds a secret itself"
        )
    return value


def _check_variable(value: str) -> str:
    if not value.startswith("env:") or not _REFERENCE.fullmatch(value):
        raise ValueError("must be env:VARIABLE; the file never holds a secret itself")
    return value


def _check_form_key(value: str) -> str:
    if not _FORM_KEY.fullmatch(value):
        raise ValueError("must be 8 to 100 letters, digits, dashes or underscores")
    return value


def _check_origin(value: str) -> str:
    origin = value.strip().rstrip("/").lower()
    if not ORIGIN.fullmatch(origin):
        raise ValueError("must be an origin such as https://www.example.com: with https://, without a path")
    return origin


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("must be a URL such as https://www.example.com/thanks")
    return value


SecretReference = Annotated[str, AfterValidator(_check_reference)]
"""The place of a secret: `env:VARIABLE`, or its SHA-256 digest `sha256:HEX`."""
VariableReference = Annotated[str, AfterValidator(_check_variable)]
"""The place of a secret that a service needs in plain text: `env:VARIABLE`."""
SigningBuilder = Literal["typeform", "tally", "webflow", "framer"]
Origin = Annotated[str, AfterValidator(_check_origin)]
FieldTarget = Annotated[str, AfterValidator(check_target)]


class Captcha(BaseModel):
    """The captcha of a site's HTML forms.

    If `secret` is not set, ALTCHA's challenges are signed with `FASTCORE_SITE_INGEST_TOKEN`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["altcha", "turnstile", "hcaptcha", "recaptcha"]
    secret: VariableReference | None = None

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.kind != "altcha" and self.secret is None:
            raise ValueError("needs the secret of its provider")
        return self


Limit = Annotated[int, Field(ge=0, le=100_000, strict=True)]
MAX_RETENTION_DAYS: Final = 36_500
"""The longest retention, about 100 years."""


class Limits(BaseModel):
    """The limits on a site's leads. None means the gateway's own setting, 0 means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leads_per_ip_per_hour: Limit | None = None
    leads_per_email_per_hour: Limit | None = None
    form_leads_per_hour: Limit | None = None


NO_LIMITS: Final = Limits()


class Site(BaseModel):
    """The settings of one site.

    Every setting is optional. A setting that the site does not have is taken from `[defaults]`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line | None = None
    tokens: tuple[SecretReference, ...] = ()
    form_key: Annotated[str, AfterValidator(_check_form_key)] | None = None
    hook_keys: tuple[SecretReference, ...] = ()
    signing_secrets: dict[SigningBuilder, VariableReference] = Field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    captcha: Captcha | None = None
    contact_url: Annotated[str, AfterValidator(_check_url)] | None = None
    public_status: Annotated[bool, Field(strict=True)] = False
    thanks_url: Annotated[str, AfterValidator(_check_url)] | None = None
    locale: LocaleTag | None = None
    sender: SenderValue | None = Field(default=None, alias="from")
    reply_to: ReplyAddress | None = None
    alert_to: tuple[MailAddress, ...] = ()
    alert_rules: tuple[AlertRule, ...] = ()
    alert_locale: LocaleTag | None = None
    alert_frequency: AlertFrequency | None = None
    alert_hour: Hour | None = None
    timezone: TimeZone | None = None
    templates: Line | None = None
    dkim: Dkim | None = None
    fields: dict[FieldTarget, tuple[Line, ...]] = Field(default_factory=dict)
    default_service: Line | None = None
    limits: Limits = NO_LIMITS
    retention_days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS, strict=True)] | None = None
    reply: Reply | None = None


NO_SITE: Final = Site()


@dataclass(frozen=True)
class Sites:
    """All sites and destinations by name, and the sites file's digest. All three are empty without a file."""

    by_name: Mapping[str, Site] = field(default_factory=dict)
    digest: str = ""
    destinations: Mapping[str, Destination] = field(default_factory=dict)

    def get(self, name: str) -> Site:
        """Return the site of this name, or a site without any settings if the file does not name it."""
        return self.by_name.get(name, NO_SITE)

    def display_name(self, name: str) -> str:
        """Return the site's display name, or `name` if the file has no display name for it."""
        return self.get(name).name or name


KEYS: Final = tuple(item.alias or name for name, item in Site.model_fields.items())
"""The keys that a site may have, as the file spells them."""


def shared_values(sites: Mapping[str, Site]) -> list[str]:
    """Return a problem for each token, hook key or form key that a site shares with an earlier site.

    The gateway could not tell which of the two sites sent a request with such a value.
    """
    owners: dict[tuple[str, str], str] = {}
    problems: list[str] = []
    for name, site in sites.items():
        values: list[tuple[str, Any]] = [("tokens", each) for each in dict.fromkeys(site.tokens)]
        values += [("hook_keys", each) for each in dict.fromkeys(site.hook_keys)]
        values += [("form_key", site.form_key)] if site.form_key else []
        problems += [
            f"sites.{name}.{value[0]}: the site {owner} has the same value"
            for value in values
            if (owner := owners.setdefault(value, name)) != name
        ]
    return problems
