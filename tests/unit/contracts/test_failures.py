"""How failures are named."""

from contracts.failures import failure_event_id
from tests.unit.notifier.test_plan import FakeRecord


def test_a_repeat_of_a_record_fails_under_one_name() -> None:
    assert failure_event_id(FakeRecord(), "notifier", "welcome") == failure_event_id(
        FakeRecord(), "notifier", "welcome"
    )


def test_regression_another_record_at_the_offset_of_a_lost_one_has_a_failure_of_its_own() -> None:
    # The flusher took it for a repeat of the first one, and kept nothing of the lead.
    lost, new = FakeRecord(timestamp=1000), FakeRecord(timestamp=2000)
    assert failure_event_id(lost, "persister", "store") != failure_event_id(new, "persister", "store")
