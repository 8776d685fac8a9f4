"""How failures are named."""

from uuid import UUID

from contracts.failures import failure_event_id, legacy_failure_event_id
from tests.support.services.notifier import FakeRecord


def test_failure_id_is_the_same_for_the_same_record() -> None:
    assert failure_event_id(FakeRecord(), "notifier", "welcome") == failure_event_id(
        FakeRecord(), "notifier", "welcome"
    )


def test_regression_new_record_at_reused_offset_has_own_failure_id() -> None:
    # The flusher regarded it as a repetition of the first failure, and lost the lead.
    lost, new = FakeRecord(timestamp=1000), FakeRecord(timestamp=2000)
    assert failure_event_id(lost, "persister", "store") != failure_event_id(new, "persister", "store")


def test_failure_id_of_earlier_versions_is_unchanged() -> None:
    for record in (FakeRecord("t", 1, 2, 3000), FakeRecord("t", 1, 2, 4000)):
        assert legacy_failure_event_id(record, "notifier", "welcome") == UUID(
            "73f8c6d9-1b41-594c-ba7a-f4f57f1b4922"
        )
