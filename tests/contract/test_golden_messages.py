"""The golden messages of contracts/examples: old messages stay readable."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from contracts import topics
from contracts.audit import AuditRecorded
from contracts.failures import LeadDead, LeadFailed
from contracts.headers import PASSED_ON, Headers
from contracts.lead_events import LeadChanged
from contracts.leads import LeadReceived
from contracts.mail_events import MailEvent

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
VALUES: dict[str, type[BaseModel]] = {
    topics.RECEIVED.name: LeadReceived,
    topics.CHANGED.name: LeadChanged,
    topics.AUDIT.name: AuditRecorded,
    topics.MAIL_EVENTS.name: MailEvent,
}
# On these topics the value is the original bytes, and the message is in the headers.
FAILURES: dict[str, type[LeadFailed]] = {
    topics.FAILED.name: LeadFailed,
    topics.RETRY_PERSISTER.name: LeadFailed,
    topics.RETRY_NOTIFIER.name: LeadFailed,
    topics.RETRY_WEBHOOKS.name: LeadFailed,
    topics.DEAD.name: LeadDead,
}


def messages(of: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(topic, path, id=f"{topic}/{path.stem}")
        for topic in of
        for path in sorted((EXAMPLES / topic).glob("*.json"))
    ]


def headers_of(path: Path) -> Headers:
    return [(name, value.encode()) for name, value in json.loads(path.read_text(encoding="utf-8")).items()]


def with_unknown_fields(value: Any) -> Any:
    """Return a later version of a message, with an unknown field. `source` keeps unknown fields."""
    return {**value, "field_of_a_later_version": {"nested": [1, None]}}


def test_every_topic_has_golden_messages() -> None:
    assert {folder.name for folder in EXAMPLES.iterdir()} == {topic.name for topic in topics.ALL}
    assert set(VALUES) | set(FAILURES) == {topic.name for topic in topics.ALL}
    assert all(list((EXAMPLES / topic.name).glob("*.json")) for topic in topics.ALL)


@pytest.mark.parametrize(("topic", "path"), messages(VALUES))
def test_a_golden_message_parses_and_survives_a_round_trip(topic: str, path: Path) -> None:
    message = VALUES[topic].model_validate_json(path.read_bytes())
    assert VALUES[topic].model_validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize(("topic", "path"), messages(VALUES))
def test_unknown_fields_of_a_later_version_are_tolerated(topic: str, path: Path) -> None:
    known = path.read_text(encoding="utf-8")
    later = json.dumps(with_unknown_fields(json.loads(known)))
    assert VALUES[topic].model_validate_json(later) == VALUES[topic].model_validate_json(known)


@pytest.mark.parametrize("topic", VALUES)
def test_a_golden_message_shows_every_field_that_we_write(topic: str) -> None:
    # A new field needs a new golden message, which keeps it readable.
    shown = set(json.loads((EXAMPLES / topic / "full.json").read_text(encoding="utf-8")))
    assert shown == set(VALUES[topic].model_fields)


@pytest.mark.parametrize(("topic", "path"), messages(FAILURES))
def test_the_headers_of_a_failure_round_trip(topic: str, path: Path) -> None:
    headers = headers_of(path)
    failure = FAILURES[topic].from_headers(headers)
    assert dict(failure.to_headers(headers)) == dict(headers)
    assert FAILURES[topic].from_headers(failure.to_headers(headers)) == failure


@pytest.mark.parametrize(("topic", "path"), messages(FAILURES))
def test_unknown_and_odd_headers_of_a_failure_are_tolerated(topic: str, path: Path) -> None:
    headers = headers_of(path)
    odd: Headers = [
        *headers,
        ("x-later", b"1"),
        ("x-not-text", b"\xff\xfe"),
        ("kafka_dlt-cause", b"\x00\x01"),
    ]
    assert FAILURES[topic].from_headers(odd) == FAILURES[topic].from_headers(headers)


@pytest.mark.parametrize(("topic", "path"), messages(FAILURES))
def test_a_failure_without_one_of_its_headers_is_refused_as_a_whole(topic: str, path: Path) -> None:
    headers = headers_of(path)
    optional = {*PASSED_ON, "fastcore-queue-id", "fastcore-final", "retry_topic-attempts"}
    optional |= {"retry_topic-original-timestamp", "retry_topic-backoff-timestamp"}
    for name, _ in headers:
        if name not in optional:
            with pytest.raises(ValueError, match="validation error"):
                FAILURES[topic].from_headers([pair for pair in headers if pair[0] != name])
