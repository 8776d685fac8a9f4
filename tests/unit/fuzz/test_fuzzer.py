"""The fuzzer notes every accepted lead, and shows the smallest request that a gateway gets wrong."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.fuzz.bodies import MARKER
from tests.fuzz.checker import AcceptedLeads, FuzzFailure
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inbound_requests import REQUESTS, InboundRequest

FORM = InboundRequest("/inbound/forms/key", (("Accept", b"text/html"),), b"name=Ada")


def accept(_: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json={"leadId": str(uuid4())})


@pytest.fixture
def accepted(tmp_path: Path) -> AcceptedLeads:
    return AcceptedLeads(tmp_path / "accepted.jsonl")


def fuzzer(answer: Callable[[httpx.Request], httpx.Response], accepted: AcceptedLeads) -> Fuzzer:
    client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer))
    return Fuzzer(client, accepted)


def test_every_entry_point_is_fuzzed_and_its_leads_are_noted(accepted: AcceptedLeads) -> None:
    made = fuzzer(accept, accepted)
    made.run_examples(1)
    assert made.counts.keys() == REQUESTS.keys()
    assert len(accepted.read()) == sum(counts[201] for counts in made.counts.values())


def test_a_run_ends_at_its_deadline(accepted: AcceptedLeads) -> None:
    made = fuzzer(accept, accepted)
    made.run(0, 1)
    made.run_examples(1, deadline=0)
    assert not made.counts


def test_a_server_error_fails_with_the_smallest_request(accepted: AcceptedLeads) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if b"message" in request.content else accept(request)

    with pytest.raises(FuzzFailure, match="answered 500") as failure:
        fuzzer(answer, accepted).run_examples(1)
    (falsifying,) = [note for note in failure.value.__notes__ if "InboundRequest" in note]
    assert "/inbound/leads" in falsifying
    assert len(falsifying) < 300


def test_an_echo_of_the_body_fails(accepted: AcceptedLeads) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=request.content)

    with pytest.raises(FuzzFailure, match="repeats"):
        fuzzer(answer, accepted).post(InboundRequest("/inbound/leads", (), MARKER.encode()))


def test_the_lead_of_a_redirect_is_found_by_sending_the_form_again(accepted: AcceptedLeads) -> None:
    lead_id = str(uuid4())

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/html":
            return httpx.Response(303, headers={"Location": "/thanks"})
        return httpx.Response(201, json={"leadId": lead_id}, headers={"Idempotent-Replayed": "true"})

    assert fuzzer(answer, accepted).post(FORM) == 303
    assert accepted.read() == {lead_id: repr(FORM)}


def test_a_redirect_that_accepted_nothing_fails(accepted: AcceptedLeads) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(303) if request.headers["accept"] == "text/html" else accept(request)

    with pytest.raises(FuzzFailure, match="303"):
        fuzzer(answer, accepted).post(FORM)


def test_one_closed_connection_is_tried_again_and_two_fail(accepted: AcceptedLeads) -> None:
    failures = [httpx.ReadError("closed")]

    def answer(request: httpx.Request) -> httpx.Response:
        if failures:
            raise failures.pop()
        return accept(request)

    made = fuzzer(answer, accepted)
    assert made.post(FORM) == 201
    failures[:] = [httpx.ReadError("closed"), httpx.ReadError("closed")]
    with pytest.raises(FuzzFailure, match="no response: ReadError"):
        made.post(FORM)
