"""The faults of the mail server, and the actions of an admin. Each method is an event of a plan."""

from random import Random
from typing import Any, Final

from contracts import headers, topics
from tests.schedules.database.notifier_queries import MAILS
from tests.schedules.notifier.smtp_server import FAILURES, PHASES, SmtpServer
from tests.schedules.plan import Event, seconds_between

FAILED_STATES: Final = ("waiting", "dead", "unknown")
# After these the outcome of a mail is unknown.
WITHOUT_REPLY: Final = ("hang", "drop", "accept_and_drop", "accept_and_hang")


class MailFaults:
    """What can happen to the emails of a `World`."""

    smtp: SmtpServer
    database: Any
    records: Any
    _lasting: Any
    publish_record: Any

    async def stop_smtp(self, seconds: float) -> None:
        """Stop the mail server: it refuses connections."""
        self.smtp.stop()
        await self._lasting(seconds)
        self.smtp.start()

    async def fail_smtp(self, phase: float, way: float, seconds: float) -> None:
        """Let the mail server refuse, hang or drop at one phase."""
        fault = PHASES[int(phase)], FAILURES[int(way)]
        self.smtp.fail(*fault)
        await self._lasting(seconds)
        self.smtp.work(*fault)

    async def resend(self, number: float) -> None:
        """An admin sends an email again that failed, if there is one."""
        failed = [row for row in self.database.rows(MAILS) if row["state"] in FAILED_STATES]
        if failed:
            row = failed[int(number) % len(failed)]
            value = self.records.value_of(row["lead_id"])
            kind = [(headers.KIND, row["kind"].encode())]
            await self.publish_record(topics.RETRY_NOTIFIER.name, str(row["lead_id"]).encode(), value, kind)


def draw_mail_fault(rng: Random, at: float) -> Event:
    """Return one fault of the emails."""
    short, long = seconds_between(rng, 0.2, 20), seconds_between(rng, 3, 90)
    phase, way = rng.randrange(len(PHASES)), rng.randrange(len(FAILURES))
    at_body = float(PHASES.index("body")), float(FAILURES.index(rng.choice(WITHOUT_REPLY)))
    return rng.choice(
        (
            Event(at, "stop_smtp", (short,)),
            Event(at, "stop_smtp", (long,)),
            Event(at, "fail_smtp", (phase, way, short)),
            Event(at, "fail_smtp", (phase, way, long)),
            Event(at, "fail_smtp", (*at_body, short)),
            Event(at, "fail_smtp", (*at_body, long)),
            Event(at, "resend", (rng.randrange(100),)),
        )
    )
