"""Reports of real mail servers (with invented names) are read, and any bytes are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.flusher.bounces.reports import read_report
from tests.support.mail.providers import LEAD_ID

FOLDER = Path(__file__).parents[3] / "support" / "mail" / "reports"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def content(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


@pytest.mark.parametrize(
    ("name", "code", "enhanced"),
    [
        ("postfix", 550, "5.1.1"),
        ("exchange", 550, "5.1.10"),
        ("gmail", 550, "5.1.1"),
        ("exim", 550, "5.0.0"),
        ("qmail", 550, "5.1.1"),
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_report_names_the_email_and_why_it_came_back(
    name: str, code: int, enhanced: str, line_end: bytes
) -> None:
    report = read_report(content(name).replace(b"\n", line_end), NOW)
    assert report.result == "events"
    (event,) = report.events
    assert (event.source, event.type, event.kind, event.lead_id) == ("report", "bounced", "welcome", LEAD_ID)
    assert (event.hard, event.code, event.enhanced) == (True, code, enhanced)
    assert event.recipient == "gone@visitor.example"
    assert event.occurred_at.date() == NOW.date()
    assert read_report(content(name).replace(b"\n", line_end), NOW).events == report.events


def test_a_report_quotes_the_ids_under_which_servers_had_the_email() -> None:
    headers = (
        b"Received: from app by relay.example (Postfix)\n\twith ESMTPSA id 4F9bZ71Xs2z3K; now\nFrom: FAST"
    )
    report = (
        content("postfix")
        .replace(b"Queue-ID: 4XYZ", b"Queue-ID: 4F9bZ80000000")
        .replace(b"From: FAST", headers)
    )
    (event,) = read_report(report, NOW).events
    assert event.queue_ids == ("4F9bZ80000000", "4F9bZ71Xs2z3K")
    many = b"".join(b"Received: by x.example id 4F9bZ%09d\n" % number for number in range(100))
    assert len(read_report(many + report, NOW).events[0].queue_ids) == 20


def test_a_complaint_is_read() -> None:
    (event,) = read_report(content("complaint"), NOW).events
    assert (event.type, event.lead_id, event.recipient, event.hard) == (
        "complained", LEAD_ID, "annoyed@visitor.example", False
    )  # fmt: skip
    opposite = content("complaint").replace(b"Feedback-Type: abuse", b"Feedback-Type: not-spam")
    assert read_report(opposite, NOW).result == "no report"


def test_a_delay_changes_nothing_and_an_expiry_is_a_soft_bounce() -> None:
    assert read_report(content("delayed"), NOW) == ((), "delayed")
    (event,) = read_report(content("expired"), NOW).events
    assert (event.type, event.hard, event.enhanced) == ("bounced", False, "4.4.1")


def test_a_persons_reply_is_no_report() -> None:
    assert read_report(content("reply"), NOW) == ((), "no report")


def test_a_report_about_another_email_is_unmatched() -> None:
    other = content("postfix").replace(b"019b0c5e", b"another-")
    assert read_report(other, NOW) == ((), "unmatched")


def test_each_failed_recipient_is_an_event() -> None:
    more = (
        b"Final-Recipient: rfc822; also@visitor.example\nAction: failed\nStatus: 5.2.2\n\n"
        b"Final-Recipient: rfc822; fine@visitor.example\nAction: relayed\nStatus: 2.0.0\n\n"
        b"Final-Recipient: rfc822; gone@"
    )
    report = read_report(content("postfix").replace(b"Final-Recipient: rfc822; gone@", more), NOW)
    assert [(event.recipient, event.hard) for event in report.events] == [
        ("also@visitor.example", False),
        ("gone@visitor.example", True),
    ]


def test_a_report_without_a_date_and_an_id_has_a_stable_id() -> None:
    bare = content("qmail").replace(b"Date: 30 Nov 2026 10:30:45 -0000\n", b"Date: yesterday\n")
    (event,) = read_report(bare, NOW).events
    assert event.occurred_at == NOW
    (again,) = read_report(bare, datetime(2026, 12, 1, tzinfo=UTC)).events
    assert again.event_id == event.event_id


SAMPLES = [content(path.stem) for path in sorted(FOLDER.glob("*.eml"))]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=2000), st.sampled_from(SAMPLES)), st.data())
def test_any_bytes_can_be_read(base: bytes, data: st.DataObject) -> None:
    mutated = bytearray(base)
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(mutated)))
        mutated[at : at + data.draw(st.integers(0, 40))] = data.draw(
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from([b"\n\n", b"=?utf-8?b?", b"\x00", b"--", b";", b"\xff"]),
            )
        )
    report = read_report(bytes(mutated), NOW)
    assert bool(report.events) == (report.result == "events")


def test_a_deeply_nested_or_huge_message_is_bounded() -> None:
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (depth, depth) for depth in range(3000)
    )
    assert read_report(nested, NOW).result == "no report"
    assert read_report(content("postfix") + b"x" * 5_000_000, NOW).result == "events"
    assert read_report(b"x: y\n" * 1_000_000 + content("postfix"), NOW).result == "no report"
