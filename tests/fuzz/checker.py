"""Checks the responses of a fuzzed service, and finds lost leads. Shares no code with the services."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from uuid import UUID


class FuzzFailure(AssertionError):
    """A response breaks a guarantee. The message says which one."""


@dataclass(frozen=True)
class Answer:
    """One response of a service. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """True for an HTML page."""
        return self.headers.get("content-type", "").startswith("text/html")

    @property
    def text(self) -> str:
        """Return all text of the response: the texts of a JSON body or the raw body, and the headers."""
        try:
            texts = list(texts_of(json.loads(self.body)))
        except ValueError:
            texts = [self.body.decode(errors="replace")]
        return "\n".join([*texts, *self.headers.values()])


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from texts_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)


def check_answer(answer: Answer, sent: Iterable[str], secrets: Iterable[str] = ()) -> None:
    """Raise `FuzzFailure` for a 5xx, for an error that repeats a sent text, and for any secret.

    The page of a refused form keeps what the visitor typed, so it may contain a sent text, but as HTML text.
    """
    if answer.status >= 500:
        raise FuzzFailure(f"the service answered {answer.status}")
    shown = answer.text
    for secret in secrets:
        if secret in shown:
            raise FuzzFailure(f"the {answer.status} contains a secret")
    if answer.status < 400:
        return
    for text in sent:
        if text in shown and not (answer.is_page and escape(text) == text):
            raise FuzzFailure(f"the {answer.status} repeats {text!r}")


def accepted_lead_id(answer: Answer) -> str | None:
    """Return the id of the lead that a response accepts, or None if it accepts none.

    Raises `FuzzFailure` for a 200 or 201 without a valid id.
    """
    if answer.status not in (200, 201):
        return None
    try:
        return str(UUID(json.loads(answer.body)["leadId"]))
    except (ValueError, KeyError, TypeError):
        raise FuzzFailure(f"the {answer.status} has no lead id") from None


class AcceptedLeads:
    """The ids of accepted leads, each with its request, in a file to which several processes append."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, lead_id: str, request: str) -> None:
        """Append an id, and the request that reproduces it."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([lead_id, request]) + "\n")

    def read(self) -> dict[str, str]:
        """Return the first request of each id."""
        found: dict[str, str] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                lead_id, request = json.loads(line)
                found.setdefault(lead_id, request)
        return found


def find_lost(
    accepted: Mapping[str, str], inbox: Collection[str], queue: Collection[str]
) -> list[tuple[str, str]]:
    """Return the id and the request of each accepted lead that is neither stored nor in the replay queue."""
    stored = {*inbox, *queue}
    return [(lead_id, request) for lead_id, request in accepted.items() if lead_id not in stored]
