"""The reasons as they are stored: their texts are a promise."""

import pytest

from contracts.reasons import Reason


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("undecodable", Reason.UNDECODABLE),
        ("undecodable failure", Reason.FAILURE_UNDECODABLE),
        ("database refused the data (22001)", Reason.DATA_REFUSED),
        ("database answered P0001", Reason.DATABASE_ANSWERED),
        ("bug: KeyError", Reason.BUG),
        ("gateway 422", Reason.GATEWAY_REFUSED),
        ("gateway 422: email, name", Reason.GATEWAY_REFUSED),
        ("no site shop in FASTCORE_SITE_QUEUE_URL", Reason.SITE_NOT_CONFIGURED),
        ("not taken: bug: KeyError", Reason.FAILURE_NOT_STORED),
        ("smtp 550 5.1.1 at rcpt", Reason.SMTP_REPLY),
        ("smtp 451 4.7.1", Reason.SMTP_REPLY),
        ("smtp silent at body", Reason.SMTP_SILENT),
        ("2 of 3 recipients refused: smtp 550 at rcpt", Reason.RECIPIENTS_REFUSED),
    ],
)
def test_a_stored_text_is_recognized(stored: str, reason: Reason) -> None:
    match = Reason.match(stored)
    assert match is not None
    assert match[0] is reason


def test_the_values_in_a_stored_text_are_returned() -> None:
    match = Reason.match("smtp 550 5.1.1 at rcpt")
    assert match == (Reason.SMTP_REPLY, {"code": "550", "enhanced": "1.1", "phase": "rcpt"})
    assert Reason.match("smtp 550 x") is None


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_matches_its_own_text_and_no_other(reason: Reason) -> None:
    numbers = {"reply": "550", "status": "422", "refused": "1", "recipients": "2", "bounce": "5.1.1"}
    names = {"phase": "rcpt", "sqlstate": "22001", "exception": "KeyError", "site": "shop"}
    text = reason.format(**numbers, **names, fields=": email", reason="undecodable")
    assert [each for each in Reason if each.pattern.fullmatch(text)] == [reason]


def test_refused_fields_are_sorted_named_once_and_limited() -> None:
    assert Reason.gateway_refused(422, ["phone", "email", "email"]) == "gateway 422: email, phone"
    assert Reason.gateway_refused(400, []) == "gateway 400"
    assert len(Reason.gateway_refused(422, [f"field{number}" for number in range(100)])) == 200
