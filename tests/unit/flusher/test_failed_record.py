"""Decoding a failed record: with any headers, it is stored."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import headers as h
from contracts.audit import AuditEvent
from contracts.failures import LeadFailed, failure_event_id, legacy_failure_event_id
from services.flusher.failed_record import audit_entry, dead_event_id, decode_failure, undecodable_failure
from tests.support.services.flusher import OWN, Record, failure


def record(headers: Any, key: bytes | None = b"key", value: bytes | None = b"{}", offset: int = 5) -> Record:
    return Record("leads.failed.v1", offset, key, value, headers)


def test_a_failure_is_read_with_what_its_record_keeps() -> None:
    failed, lead_id = failure(7), uuid4()
    decoded = decode_failure(record(tuple(failed.to_headers(OWN)), str(lead_id).encode()), "group")
    assert decoded.failure.model_copy(update={"occurred_at": failed.occurred_at}) == failed
    assert decoded.lead_id == lead_id
    assert decoded.kept_headers == {"content-type": "application/json", "correlation_id": "req-7"} | {
        h.TRACEPARENT: OWN[2][1].decode()
    }
    assert not decoded.by_origin
    assert not decoded.final


@pytest.mark.parametrize(("origin", "is_known"), [("hook:studio", True), ("leads.received.v1", False)])
def test_stage_site_is_known_only_for_leads_of_form_builders(origin: str, is_known: bool) -> None:
    failed = failure(stage="site", kind="pull", origin=failure().origin.model_copy(update={"topic": origin}))
    decoded = decode_failure(record(tuple(failed.to_headers(OWN)), str(uuid4()).encode()), "group")
    assert (decoded.failure.stage == "site", decoded.final) == (is_known, not is_known)
    assert decoded.by_origin


@pytest.mark.parametrize("key", [None, b"", b"no uuid", b"\xff\xfe"])
def test_a_key_that_is_no_uuid_names_no_lead(key: bytes | None) -> None:
    assert decode_failure(record(tuple(failure().to_headers(OWN)), key), "group").lead_id is None


@pytest.mark.parametrize(
    ("stage", "kind", "reason", "by_origin", "reissued"),
    [
        ("persister", "store", "conflict", True, True),
        ("persister", "store", "undecodable", True, False),
        ("persister", "store", "database refused the data (22P05)", False, False),
        ("notifier", "welcome", "conflict", False, False),
    ],
)
def test_conflicts_and_the_undecodable_are_named_by_their_origin(
    stage: str, kind: str, reason: str, by_origin: bool, reissued: bool
) -> None:
    failed = failure(stage=stage, kind=kind, reason=reason, final=True)
    decoded = decode_failure(record(tuple(failed.to_headers())), "group")
    assert decoded.by_origin == by_origin
    assert (decoded.replay_lead_id is not None) == reissued


@pytest.mark.parametrize("kind", ["audit", "store"])
def test_regression_failed_audit_record_never_names_a_lead(
    kind: str,
) -> None:
    failed = failure(stage="persister", kind=kind, reason="database refused the data (22P05)")
    origin = failed.origin.model_copy(update={"topic": "prefix.audit.recorded.v1"})
    failed = failed.model_copy(update={"origin": origin})
    decoded = decode_failure(record(tuple(failed.to_headers()), str(uuid4()).encode()), "group")
    assert (decoded.failure.kind, decoded.lead_id, decoded.by_origin) == ("audit", None, True)
    assert decoded.replay_lead_id is None


def test_without_bytes_there_is_nothing_to_retry_with() -> None:
    assert decode_failure(record(tuple(failure().to_headers()), value=None), "group").final


header_names = st.sampled_from([name for name, _ in failure(queue_id=uuid4()).to_headers(OWN)])


@given(
    st.dictionaries(
        header_names,
        st.none()
        | st.binary(max_size=40)
        | st.integers(-(10**30), 10**30).map(lambda n: str(n).encode())
        | st.text(max_size=20).map(str.encode),
        max_size=6,
    )
)
def test_a_record_with_any_headers_is_stored(broken: dict[str, bytes | None]) -> None:
    failed = failure(queue_id=uuid4()).to_headers(OWN)
    headers = [(name, broken.get(name, value)) for name, value in failed]
    decoded = decode_failure(record(tuple(headers)), "group")
    written = audit_entry(
        AuditEvent.LEAD_PARKED, decoded.failure, decoded.lead_id, actor="x"
    ).model_dump_json()
    assert "\\u0000" not in written + str(decoded.kept_headers)
    assert decoded.origin_at.tzinfo is not None
    assert -(2**31) <= decoded.failure.origin.partition < 2**31
    assert -(2**63) <= decoded.failure.origin.offset < 2**63


def test_what_cannot_be_read_is_named_after_where_it_lies() -> None:
    one, same, other = (undecodable_failure(record((), offset=n), "group", "why") for n in (5, 5, 6))
    assert one.failure.event_id == same.failure.event_id != other.failure.event_id
    assert (one.failure.final, one.by_origin, one.failure.reason) == (True, True, "why")
    origin = one.failure.origin
    assert (origin.topic, origin.offset, origin.consumer_group) == ("leads.failed.v1", 5, "group")


@pytest.mark.parametrize("timestamp", [-99_999_999_999_999_999, 99_999_999_999_999_999, -1, 0])
def test_regression_a_record_with_an_absurd_time_is_stored_as_dead(timestamp: int) -> None:
    kept = decode_failure(replace(record((), offset=5), timestamp=timestamp), "group")
    assert kept.failure.final
    assert 1970 <= kept.failure.occurred_at.year <= 2200
    assert 1970 <= kept.origin_at.year <= 2200


def test_a_death_is_named_after_the_failure_that_caused_it() -> None:
    failed: LeadFailed = failure()
    assert dead_event_id(failed) == dead_event_id(failed)
    assert dead_event_id(failed) not in (failed.event_id, UUID(int=0))


def test_only_a_first_failure_has_an_id_that_earlier_versions_gave_it() -> None:
    failed = failure(7)
    named = failed.model_copy(update={"event_id": failure_event_id(failed.origin, "notifier", "welcome")})
    legacy_id = legacy_failure_event_id(failed.origin, "notifier", "welcome")
    assert decode_failure(record(tuple(named.to_headers())), "group").legacy_id == legacy_id
    # The origin does not identify a retry's record, and a failure of an earlier version has no other id.
    assert decode_failure(record(tuple(failed.to_headers())), "group").legacy_id is None
    of_then = failed.model_copy(update={"event_id": legacy_id})
    assert decode_failure(record(tuple(of_then.to_headers())), "group").legacy_id is None
