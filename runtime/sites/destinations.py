"""The model of a destination: another system that receives the leads of some sites.

Like a site, a destination is configured in the sites file. A secret is always a reference (`env:VARIABLE` or
`file:/PATH`). `url` and the values of `headers` may be references too.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.lead_events import ALERT_FAILED, RECEIVED, EventType

DESTINATION_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\x00]+")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Set by the service itself, or would change where a request ends.
_OWN_HEADERS: Final = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "traceparent",
    }
)
BODY_TEMPLATE_MAX: Final = 20_000
EXPECT_MAX: Final = 200
# Where people read messages: they also want to know that the team's emails do not arrive.
CHATS: Final = ("slack", "teams", "discord")
DestinationKind = Literal["webhook", "slack", "teams", "discord", "http"]


def _check_name(value: str) -> str:
    if not DESTINATION_NAME.fullmatch(value):
        raise ValueError("must be 1 to 50 small letters, digits or dashes, and begin with no dash")
    return value


def is_reference(value: str) -> bool:
    """Return True for `env:VARIABLE` and `file:/PATH`."""
    return _REFERENCE.fullmatch(value) is not None


def _check_reference(value: str) -> str:
    if not is_reference(value):
        raise ValueError("must be env:VARIABLE or file:/PATH; the file never holds a secret itself")
    return value


def check_url(value: str) -> str:
    """Return the URL. Raises `ValueError` unless it is an absolute http(s) URL without user and password."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a URL such as https://crm.example.com/hook, without a login")
    return value


def _check_url_or_reference(value: str) -> str:
    return value if is_reference(value) else check_url(value)


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_header_name(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower() in _OWN_HEADERS:
        raise ValueError("must be the name of a header that FASTCore does not set itself")
    return value


def _check_header_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be printable ASCII")
    return value


SecretReference = Annotated[str, AfterValidator(_check_reference)]
"""Where a secret is: `env:VARIABLE`, or `file:/PATH` of a mounted secret."""


class Destination(BaseModel):
    """One destination.

    - `url` may be a reference, because the URL of a chat's incoming webhook is a secret.
    - `secret` signs the requests of the kind `webhook`. It has two values while the receiver changes its
      secret.
    - `sites` are the sites whose leads the destination receives. By default, it receives the leads of all
      sites.
    - `events` are the types of events that the destination receives. By default, these are new leads, and for
      a chat also team notifications that nobody received.
    - `canary_url` is the destination's test path, to which the canary is sent. It may be a reference.
    - `trace` adds the header `traceparent` of the lead's trace to the requests.

    Only the kind `http` has `method`, `headers`, `content_type` and the following settings:

    - `expect` is text that a 2xx response must contain, because some systems answer 200 to a request that
      they refuse.
    - `body` and `erased_body` are Jinja templates. Without `erased_body`, the destination is not informed of
      erasures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_check_name)]
    kind: DestinationKind
    url: Annotated[str, AfterValidator(_check_url_or_reference)]
    secret: Annotated[tuple[SecretReference, ...], BeforeValidator(_as_tuple), Field(max_length=2)] = ()
    sites: tuple[str, ...] = ()
    events: tuple[EventType, ...] = (RECEIVED,)
    canary_url: Annotated[str, AfterValidator(_check_url_or_reference)] | None = None
    allow_private: Annotated[bool, Field(strict=True)] = False
    trace: Annotated[bool, Field(strict=True)] = False
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[
        Annotated[str, AfterValidator(_check_header_name)],
        Annotated[str, AfterValidator(_check_header_value)],
    ] = Field(default_factory=dict)
    content_type: Annotated[str, AfterValidator(_check_header_value)] = "application/json"
    expect: str = Field(default="", max_length=EXPECT_MAX)
    body: str = Field(default="", max_length=BODY_TEMPLATE_MAX)
    erased_body: str = Field(default="", max_length=BODY_TEMPLATE_MAX)

    @model_validator(mode="before")
    @classmethod
    def _default_events(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") in CHATS and "events" not in values:
            return {**values, "events": (RECEIVED, ALERT_FAILED)}
        return values

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "webhook" and not self.secret:
            raise ValueError("needs a secret, with which it signs its requests")
        if self.kind != "webhook" and self.secret:
            raise ValueError("must not have a secret: only the kind webhook signs its requests")
        if self.kind == "http" and not self.body:
            raise ValueError("needs a body, which is a Jinja template")
        of_http = {
            "method",
            "headers",
            "content_type",
            "expect",
            "body",
            "erased_body",
        } & self.model_fields_set
        if self.kind != "http" and of_http:
            raise ValueError(f"has {', '.join(sorted(of_http))}, which only the kind http has")
        return self

    def receives(self, site: str, event: EventType) -> bool:
        """Return True if the destination receives this event of this site."""
        return event in self.events and (not self.sites or site in self.sites)


def conflicts(destinations: Mapping[str, Any], sites: Mapping[str, Any]) -> list[str]:
    """Return a problem for each site that a destination names but the file does not define."""
    return [
        f"destinations.{name}.sites: the file has no site {site}; add [sites.{site}], or correct the name"
        for name, destination in destinations.items()
        for site in destination.sites
        if site not in sites
    ]
