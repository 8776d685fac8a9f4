"""The checker reports nothing for a consistent scenario, and names each violation in another."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.faults.checker import check
from tests.faults.injections.poison_records import Poison, Poisoner
from tests.faults.load import Answer, Body, Lead, Refusal
from tests.faults.observed_state import READ_BY, ArchivedRecord, ObservedState

AT = "2024-01-03T10:30:45.123456Z"
KINDS = ("welcome", "admin_alert")


class Scenario:
    """One good lead, one spam, one conflict, one poison: all as it should be."""

    def __init__(self) -> None:
        self.good = self.lead("good")
        self.spam = self.lead("spam", spam=True)
        self.twice = self.lead("twice", second=True)
        self.leads = {lead.id: lead for lead in (self.good, self.spam, self.twice)}
        self.poison = Poisoner("")
        self.poison.undecodable.append(Poison(b"k", b"\x00 no JSON"))
        self.refusals = [Refusal("no token", [Answer(401, 0.1)])]
        self.observed = ObservedState()
        for lead in self.leads.values():
            self.store(lead)
        second = self.twice.bodies[1].message.encode()
        self.observed.queue = [
            self.row(self.twice.id, "conflict", second),
            self.row(None, "undecodable", b"\x00 no JSON"),
        ]
        self.observed.archive = [
            ArchivedRecord(self.twice.id.encode(), second, b"1"),
            ArchivedRecord(b"k", b"\x00 no JSON", b"2"),
        ]
        self.observed.lags = dict.fromkeys(READ_BY, 0)
        self.page("persister", "leads.received.v1", 5, stored=3)
        self.page("notifier", "leads.received.v1", 5, stored=3)
        self.page("webhooks", "leads.received.v1", 5, stored=3)
        self.page("flusher", "leads.failed.v1", 2, stored=2)

    @staticmethod
    def lead(key: str, *, spam: bool = False, second: bool = False) -> Lead:
        lead = Lead(key, [Body(f"First {key}")], f"{key}@mail.example", spam)
        lead.bodies += [Body(f"Second {key}")] if second else []
        for body in lead.bodies:
            body.answers.append(Answer(201, 0.1, lead.id, AT))
        return lead

    def store(self, lead: Lead) -> None:
        self.observed.inbox[lead.id] = {
            "email": lead.email,
            "message": lead.bodies[0].message,
            "status": "spam" if lead.spam else "received",
            "stored": True,
            "created_at_utc": datetime(2024, 1, 3, 10, 30, 45, 123456, UTC),
        }
        self.observed.received[lead.id] = 1
        for kind in KINDS:
            self.observed.deliveries[lead.id, kind] = "suppressed" if lead.spam else "sent"
            self.observed.mails[lead.id, kind] = 0 if lead.spam else 1

    @staticmethod
    def row(lead_id: str | None, reason: str, payload: bytes, **changes: object) -> dict[str, object]:
        row = {"stage": "persister", "kind": "store", "state": "dead", "attempts": 0, "by_origin": True}
        return (
            row | {"lead_id": lead_id, "reason": reason, "payload": payload, "made_by": "flusher"} | changes
        )

    def page(self, stage: str, topic: str, end: int, *, stored: int) -> None:
        page = {"stage": stage, "topic": topic, "partition": 0, "base_offset": 0, "next_offset": end}
        self.observed.ledger.append(page | {"stored": stored, "missing": 0})
        self.observed.ends[topic, 0] = end

    def broken(self) -> set[str]:
        return {each.kind for each in check(self.observed, self.leads, self.refusals, self.poison)}


def test_a_consistent_scenario_breaks_no_promise() -> None:
    assert Scenario().broken() == set()


def forget_row(scenario: Scenario) -> None:
    del scenario.observed.inbox[scenario.good.id]


def forget_conflict(scenario: Scenario) -> None:
    scenario.observed.queue[0]["payload"] = b"something else"


def double_row(scenario: Scenario) -> None:
    scenario.observed.inbox["another"] = dict(scenario.observed.inbox[scenario.good.id])


def double_welcome(scenario: Scenario) -> None:
    scenario.observed.mails[scenario.good.id, "welcome"] = 2


def double_known_alert(scenario: Scenario) -> None:
    scenario.observed.mails[scenario.good.id, "admin_alert"] = 2


def lose_mail(scenario: Scenario) -> None:
    scenario.observed.mails[scenario.good.id, "welcome"] = 0


def mail_spam(scenario: Scenario) -> None:
    scenario.observed.mails[scenario.spam.id, "admin_alert"] = 1


def forget_entry(scenario: Scenario) -> None:
    scenario.observed.received[scenario.good.id] = 0


def double_entry(scenario: Scenario) -> None:
    scenario.observed.received[scenario.good.id] = 2


def use_up_retry(scenario: Scenario) -> None:
    row = scenario.row(scenario.good.id, "database answered 57P01", b"", stage="notifier", kind="welcome")
    scenario.observed.queue.append(row | {"state": "resolved", "attempts": 1})


def fail_for_a_dependency(scenario: Scenario) -> None:
    row = scenario.row(scenario.good.id, "smtp 421 4.3.2 at rcpt", b"", stage="notifier", kind="welcome")
    scenario.observed.queue.append(row)


def alter_poison(scenario: Scenario) -> None:
    scenario.observed.archive[1] = ArchivedRecord(b"k", b"\x00 no JSO", b"2")


def store_other_text(scenario: Scenario) -> None:
    scenario.observed.inbox[scenario.good.id]["message"] = "Altered"


def refuse_good_lead(scenario: Scenario) -> None:
    scenario.good.bodies[0].answers.insert(0, Answer(503, 2.0))


def accept_bad_request(scenario: Scenario) -> None:
    scenario.refusals[0].answers.append(Answer(201, 0.1))


def answer_another_id(scenario: Scenario) -> None:
    scenario.good.bodies[0].answers[0].lead_id = "another"


def miscount(scenario: Scenario) -> None:
    scenario.observed.ledger[0]["next_offset"] = 4


def store_one_less_in_the_ledger(scenario: Scenario) -> None:
    scenario.observed.ledger[1]["stored"] = 2


def fall_behind(scenario: Scenario) -> None:
    scenario.observed.lags["notifier"] = 3


@pytest.mark.parametrize(
    ("breaks", "named"),
    [
        (forget_row, "lost"),
        (forget_conflict, "lost"),
        (double_row, "duplicated row"),
        (double_welcome, "duplicated mail"),
        (double_known_alert, "duplicated mail"),
        (lose_mail, "lost mail"),
        (mail_spam, "mail state"),
        (forget_entry, "audit"),
        (double_entry, "audit"),
        (use_up_retry, "queue"),
        (fail_for_a_dependency, "queue"),
        (alter_poison, "lost"),
        (store_other_text, "invented"),
        (refuse_good_lead, "refused"),
        (accept_bad_request, "answer"),
        (answer_another_id, "answer"),
        (miscount, "ledger"),
        (store_one_less_in_the_ledger, "ledger"),
        (fall_behind, "lag"),
    ],
)
def test_each_broken_promise_is_named(breaks: Callable[[Scenario], None], named: str) -> None:
    scenario = Scenario()
    breaks(scenario)
    assert named in scenario.broken()


@pytest.mark.parametrize(
    ("answer", "broken"),
    [
        (Answer(503, 1.0, at=9.5, retry_after="5"), False),
        (Answer(503, 1.0, at=19.5, retry_after="5"), False),
        (Answer(503, 1.0, at=8.5, retry_after="5"), True),
        (Answer(503, 1.0, at=20.5, retry_after="5"), True),
        (Answer(503, 1.0, at=15.0), True),
        (Answer(500, 1.0, at=15.0, retry_after="5"), True),
    ],
)
def test_checker_allows_503_only_while_kafka_and_spool_are_down(answer: Answer, broken: bool) -> None:
    scenario = Scenario()
    scenario.good.bodies[0].answers.insert(0, answer)
    found = check(
        scenario.observed,
        scenario.leads,
        scenario.refusals,
        scenario.poison,
        [(1.0, 2.0), (10.0, 20.0)],
    )
    assert [each.kind for each in found] == (["refused"] if broken else [])


def test_an_unknown_alert_may_come_twice_and_an_unknown_welcome_once() -> None:
    scenario = Scenario()
    scenario.observed.unknown.update({(scenario.good.id, kind): 1 for kind in KINDS})
    scenario.observed.mails[scenario.good.id, "admin_alert"] = 2
    scenario.observed.deliveries[scenario.good.id, "welcome"] = "unknown"
    assert scenario.broken() == set()
    scenario.observed.mails[scenario.good.id, "welcome"] = 2
    assert scenario.broken() == {"duplicated mail"}


def test_a_lead_without_a_final_answer_may_be_stored_or_not() -> None:
    scenario = Scenario()
    scenario.good.bodies[0].answers = [Answer(0, 15.0)]
    assert scenario.broken() == set()
    for known in (scenario.observed.inbox, scenario.observed.received):
        del known[scenario.good.id]
    for kind in KINDS:
        del scenario.observed.deliveries[scenario.good.id, kind]
        del scenario.observed.mails[scenario.good.id, kind]
    scenario.observed.ledger[0]["stored"] = scenario.observed.ledger[1]["stored"] = 2
    assert scenario.broken() == set()


@pytest.mark.parametrize("state", ["archived", "resolved"])
@pytest.mark.parametrize(("erased", "broken"), [(True, set()), (False, {"queue", "archive"})])
def test_a_dead_letter_may_be_of_a_lead_erased_after_it(erased: bool, broken: set[str], state: str) -> None:
    scenario = Scenario()
    scenario.twice.erase = erased
    scenario.observed.queue[0]["state"] = state
    assert scenario.broken() == broken
