"""The interface of the mail providers' adapters, which authenticate requests and read their events."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from pydantic_core import from_json

from contracts.mail_events import (
    ANSWER_MAX_LENGTH,
    MailEvent,
    MailKind,
    MailSource,
    mail_event_id,
    mail_fields,
    mail_named_in,
)
from contracts.times import parse_time

Header = Callable[[bytes], str | None]
"""Returns the value of a request's header. The name is in lower case."""

# SendGrid repeats a request for 24 hours, Mailgun for eight. A clock may be a few minutes wrong.
OLDEST: Final = timedelta(hours=25)
NEWEST: Final = timedelta(minutes=5)
# The name of the metadata in which providers keep the tag of an email (`contracts.mail_events.mail_tag`).
TAG: Final = "fastcore"


class ForgedError(Exception):
    """The request does not prove that it is from the provider."""


class InvalidEventsError(Exception):
    """The request is authentic, but its body does not have the format that the provider documents."""


class ProviderUnavailable(Exception):
    """The request cannot be checked now, because the provider's own server does not answer."""


@dataclass
class Parsed:
    """The events of a request. `results` counts the events that change nothing, by reason."""

    events: list[MailEvent] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)

    def skip(self, result: str) -> None:
        """Count an event that is not published: `ignored`, `soft` or `unmatched`."""
        self.results[result] += 1

    def add(
        self,
        source: MailSource,
        event_id: str,
        at: object,
        mail: tuple[UUID, MailKind] | None,
        **fields: Any,
    ) -> None:
        """Add an event about one of our emails. `event_id` is the provider's own id of the event."""
        if mail is None:
            self.skip("unmatched")
            return
        recipient, answer = text(fields.pop("recipient", None)), text(fields.pop("answer", None))
        self.events.append(
            MailEvent(
                event_id=mail_event_id(source, event_id, fields["type"], recipient),
                occurred_at=parse_time(at) or datetime.now(UTC),
                source=source,
                recipient=recipient[:320] or None,
                answer=answer[:ANSWER_MAX_LENGTH] or None,
                **mail_fields(*mail),
                **fields,
            )
        )


class Provider(Protocol):
    """Authenticates the requests of one mail provider, and reads their events."""

    def check_headers(self, header: Header) -> None:
        """Raise `ForgedError` if the headers alone show that the request is not the provider's."""

    async def read(self, header: Header, body: bytes, now: datetime) -> Parsed:
        """Return the events. Raises `ForgedError`, `InvalidEventsError` or `ProviderUnavailable`."""


def read_json(body: bytes | str) -> Any:
    """Return the JSON value in a body. Raises `InvalidEventsError`. Nesting is limited by the parser."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidEventsError from error


def mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object. Raises `InvalidEventsError` for any other value."""
    if not isinstance(value, dict):
        raise InvalidEventsError
    return value


def optional_mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """Return a text, or an empty one for any other value. Lone surrogates are replaced."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def find_mail(*values: object) -> tuple[UUID, MailKind] | None:
    """Return the email that the first of these values names, or None."""
    return next((mail for value in values if (mail := mail_named_in(value))), None)


def check_window(timestamp: object, now: datetime) -> None:
    """Raise `ForgedError` if a signed time (in Unix seconds) is too far from `now`."""
    at = parse_time(timestamp)
    if at is None or not now - OLDEST <= at <= now + NEWEST:
        raise ForgedError
