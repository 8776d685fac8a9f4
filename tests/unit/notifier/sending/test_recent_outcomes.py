"""The warning of readiness that servers refuse most emails."""

import pytest

from runtime.health import Health
from services.notifier.sending.recent_outcomes import PART, WINDOW_SECONDS, RecentOutcomes

REFUSED = "550 5.7.1 sender not allowed"


def recorded(*states: str, kind: str = "admin_alert") -> tuple[RecentOutcomes, Health]:
    """Return recent outcomes with these states, one a second from second 0."""
    health = Health()
    recent = RecentOutcomes(health)
    for second, state in enumerate(states):
        recent.record(kind, state, REFUSED, float(second))  # type: ignore[arg-type]
    return recent, health


def test_refused_emails_are_a_warning_that_quotes_the_server() -> None:
    _, health = recorded(*["dead"] * 80)
    assert health.ready
    assert health.parts[PART].reason == (
        f"warning: 80 of 80 team notifications failed in the last ten minutes: {REFUSED} (80)"
    )


def test_the_warning_names_both_kinds_of_emails() -> None:
    recent, health = recorded(*["dead"] * 5)
    for _ in range(6):
        recent.record("welcome", "waiting", "451 later", 10.0)
    assert health.parts[PART].reason == (
        "warning: 11 of 11 team notifications and confirmations failed in the last ten minutes:"
        f" 451 later (6); {REFUSED} (5)"
    )


def test_one_mistyped_address_among_few_is_no_warning() -> None:
    _, health = recorded("sent", "sent", "dead", "sent", kind="welcome")
    assert health.parts[PART].reason == ""
    _, health = recorded("dead", "dead", "dead", "dead")
    assert health.parts[PART].reason == ""


def test_the_warning_ends_after_three_sent_emails_or_the_window() -> None:
    recent, health = recorded(*["dead"] * 80, "sent", "sent")
    assert health.parts[PART].reason.startswith("warning: 80 of 82")
    recent.record("admin_alert", "sent", "", 83.0)
    assert health.parts[PART].reason == ""
    recent, health = recorded(*["dead"] * 80)
    recent.report(WINDOW_SECONDS + 100)
    assert health.parts[PART].reason == ""


def test_suppressed_emails_are_no_outcome() -> None:
    _, health = recorded(*["suppressed"] * 80)
    assert health.parts[PART].reason == ""


def test_sent_emails_are_not_counted_while_there_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, _ = recorded("sent")
    reports = list[float]()
    monkeypatch.setattr(recent, "report", reports.append)
    for second in range(1, 100):
        recent.record("welcome", "sent", "", float(second))
    recent.record("welcome", "dead", REFUSED, 100.0)
    assert reports == [100.0]
