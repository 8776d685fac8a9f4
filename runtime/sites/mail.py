"""The values of the keys that name the sender and the recipients of a site's emails.

The error messages never repeat a value.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from runtime.mail_address import parse_address

# A language tag of RFC 5646, without its rare forms.
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# The characters that a display name may have without quotes or an encoded word of its own (RFC 5322, 2047).
_SENDER: Final = re.compile(r"(?P<name>[^\x00-\x1f\x7f<>\"=]{1,80}?)\s*<(?P<address>[^<>]+)>")


def _check_line(value: str) -> str:
    line = " ".join(value.split())
    if not line or len(line) > 200 or not line.isprintable():
        raise ValueError("must be one line of 1 to 200 characters")
    return line


def _check_locale(value: str) -> str:
    if not _LOCALE.fullmatch(value):
        raise ValueError("must be a language tag such as en or de-AT")
    return value


def _check_address(value: str) -> str:
    address = parse_address(value)
    if address is None:
        raise ValueError("must be an email address, such as team@example.com")
    return address.spec


def _check_reply_to(value: str) -> str:
    address = _check_address(value)
    # Such an address makes each confirmation need SMTPUTF8, which many mail servers do not have.
    if not address.isascii():
        raise ValueError("must have only ASCII characters before the @, such as office@example.com")
    return address


def _check_time_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone such as Europe/Berlin or UTC") from None


Line = Annotated[str, AfterValidator(_check_line)]
LocaleTag = Annotated[str, AfterValidator(_check_locale)]
MailAddress = Annotated[str, AfterValidator(_check_address)]
ReplyAddress = Annotated[str, AfterValidator(_check_reply_to)]
AlertFrequency = Literal["immediate", "hourly", "daily"]
"""When the team is notified of a lead: at once, or with other leads in one email each hour or each day."""
Hour = Annotated[int, Field(ge=0, le=23, strict=True)]
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]


@dataclass(frozen=True)
class Sender:
    """The sender of a site's mails. Without a display name, `name` is empty."""

    address: str
    name: str = ""


def _parse_sender(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SENDER.fullmatch(value.strip())
    address = parse_address(match["address"] if match else value)
    if address is None:
        raise ValueError("must be Name <name@example.com> or name@example.com")
    return Sender(address.spec, " ".join(match["name"].split()) if match else "")


SenderValue = Annotated[Sender, BeforeValidator(_parse_sender)]


class AlertRule(BaseModel):
    """The recipients of the team notification, for leads with a given service, a given locale, or both.

    Services are compared without regard to case and to the number of blanks. The locale `de` also matches
    `de-AT`, but `de-AT` does not match `de` (basic filtering of RFC 4647, 3.3.1).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Line | None = None
    locale: LocaleTag | None = None
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_condition(self) -> Self:
        if self.service is None and self.locale is None:
            raise ValueError("needs service or locale; the recipients of all other leads are alert_to")
        return self

    def matches(self, service: str, locale: str | None) -> bool:
        """Return True if a lead with this service and locale fulfils all conditions of the rule."""
        if self.service is not None and _comparable(self.service) != _comparable(service):
            return False
        if self.locale is None:
            return True
        tag = (locale or "").strip().replace("_", "-").casefold()
        wanted = self.locale.casefold()
        return tag == wanted or tag.startswith(f"{wanted}-")


def _comparable(service: str) -> str:
    return " ".join(service.split()).casefold()


def recipients_by_rule(rules: Iterable[AlertRule], service: str, locale: str | None) -> tuple[str, ...]:
    """Return the recipients of the first rule that matches a lead, or an empty tuple if none does."""
    return next((rule.to for rule in rules if rule.matches(service, locale)), ())
