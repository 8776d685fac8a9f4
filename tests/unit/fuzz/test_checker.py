"""The checker accepts what keeps the promises, and names each way to break one."""

import json
from pathlib import Path

import pytest

from tests.fuzz.checker import (
    AcceptedLeads,
    Answer,
    FuzzFailure,
    accepted_lead_id,
    check_answer,
    find_lost,
)

LEAD_ID = "7d8f0d0e-5b0a-5c39-9d9e-0c6c0a9f1d11"
TYPED = "what <i>I</i> typed"


def problem(status: int, detail: str) -> Answer:
    return Answer(
        status, {"content-type": "application/problem+json"}, json.dumps({"detail": detail}).encode()
    )


def page(status: int, text: str) -> Answer:
    return Answer(status, {"content-type": "text/html; charset=utf-8"}, text.encode())


def test_an_error_in_our_own_words_is_accepted() -> None:
    check_answer(problem(422, "email is required"), [TYPED], ["a-secret"])


def test_a_success_may_repeat_what_was_sent() -> None:
    check_answer(Answer(200, {}, json.dumps({"name": TYPED}).encode()), [TYPED])


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_fails(status: int) -> None:
    with pytest.raises(FuzzFailure, match=f"answered {status}"):
        check_answer(problem(status, "later"), [])


@pytest.mark.parametrize(
    "answer",
    [
        problem(422, f"{TYPED} is no address"),
        Answer(400, {}, f"cannot read {TYPED}".encode()),
        Answer(404, {"x-detail": TYPED}, b""),
        Answer(422, {}, json.dumps({"errors": [{TYPED: 1}]}).encode()),
        # In JSON the text has an escape, which a client undoes.
        problem(422, "caf\u00e9 " + TYPED),
    ],
)
def test_an_error_that_repeats_what_was_sent_fails(answer: Answer) -> None:
    with pytest.raises(FuzzFailure, match="repeats"):
        check_answer(answer, ["something else", TYPED])


def test_a_page_may_repeat_what_was_typed_as_text_only() -> None:
    check_answer(page(422, "<p>what &lt;i&gt;I&lt;/i&gt; typed</p>"), [TYPED])
    check_answer(page(422, "<input value='plain'>"), ["plain"])
    with pytest.raises(FuzzFailure, match="repeats"):
        check_answer(page(422, f"<p>{TYPED}</p>"), [TYPED])


@pytest.mark.parametrize("status", [200, 404])
def test_a_secret_in_any_answer_fails_and_is_not_shown(status: int) -> None:
    with pytest.raises(FuzzFailure, match="contains a secret") as failure:
        check_answer(problem(status, "no token like my-secret"), [], ["my-secret"])
    assert "my-secret" not in str(failure.value)


def test_only_a_200_or_a_201_accepts_a_lead() -> None:
    body = json.dumps({"leadId": LEAD_ID}).encode()
    assert [accepted_lead_id(Answer(status, {}, body)) for status in (200, 201)] == [LEAD_ID] * 2
    assert accepted_lead_id(Answer(422, {}, body)) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"leadId": null}', b'{"leadId": "1"}'])
def test_a_201_without_a_lead_id_fails(body: bytes) -> None:
    with pytest.raises(FuzzFailure, match="has no lead id"):
        accepted_lead_id(Answer(201, {}, body))


def test_accepted_leads_of_several_processes_are_read(tmp_path: Path) -> None:
    assert AcceptedLeads(tmp_path / "none").read() == {}
    one, two = AcceptedLeads(tmp_path / "ids"), AcceptedLeads(tmp_path / "ids")
    one.add("1", "first\nrequest")
    two.add("2", "second")
    one.add("1", "again")
    assert one.read() == {"1": "first\nrequest", "2": "second"}


def test_a_lead_in_neither_table_is_lost() -> None:
    accepted = {"stored": "a", "queued": "b", "lost": "c"}
    assert find_lost(accepted, inbox=["stored"], queue=["queued"]) == [("lost", "c")]
    assert find_lost(accepted, inbox=["stored", "lost"], queue=["queued"]) == []
