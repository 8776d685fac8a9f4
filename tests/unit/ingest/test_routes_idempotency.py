"""`POST /inbound/leads`: idempotency keys and replays."""

from contracts.leads import lead_id_for
from tests.support.gateway import Gateway, expect_problem, gateway, submission


async def test_the_header_outranks_the_bodys_request_id(ours: Gateway) -> None:
    await ours.post(submission(request_id="in-body"), Idempotency_Key="in-header")
    await ours.post(submission(request_id="in-body", name="Grace"))
    first, second = ours.leads.leads
    assert (first.request_id, first.lead_id) == ("in-header", lead_id_for("www", "in-header"))
    assert (second.request_id, second.lead_id) == ("in-body", lead_id_for("www", "in-body"))


async def test_without_a_key_each_post_is_a_lead_of_its_own(ours: Gateway) -> None:
    ids = {(await ours.post()).json()["leadId"] for _ in range(3)}
    assert len(ids) == 3
    assert len({lead.request_id for lead in ours.leads.leads}) == 3


async def test_a_replay_gets_the_first_answer_and_says_so(ours: Gateway) -> None:
    first = await ours.post(Idempotency_Key="k")
    ours.advance(60)
    again = await ours.post_raw(
        # Another order, other blanks, an absent field as null, a request_id of its own: the same lead.
        '{ "message":"Hello ", "email":"ada@example.com","service":"Web","name":" Ada","phone":null,'
        '"request_id":"other", "meta":{"ip":"192.0.2.9"}}',
        {"Idempotency-Key": "k"},
    )
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(ours.leads.records) == 1


async def test_the_same_key_for_another_lead_is_refused(ours: Gateway) -> None:
    await ours.post(Idempotency_Key="k")
    problem = expect_problem(await ours.post(submission(message="Other"), Idempotency_Key="k"), 422)
    assert problem["type"] == "urn:fastcore:problem:key-reused"
    assert len(ours.leads.records) == 1


async def test_sites_do_not_share_keys() -> None:
    tokens = "www:first-token-0123456789abcdef,shop:second-token-0123456789abc"
    async with gateway(site_tokens=tokens) as ours:
        for token, text in (("first-token-0123456789abcdef", "A"), ("second-token-0123456789abc", "B")):
            answer = await ours.client.post(
                "/inbound/leads",
                json=submission(message=text),
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "k"},
            )
            assert answer.status_code == 201


async def test_a_key_that_got_no_201_is_free_for_another_try(ours: Gateway) -> None:
    ours.leads.make_kafka_unavailable()
    expect_problem(await ours.post(Idempotency_Key="k"), 503)
    ours.leads.error = None
    answer = await ours.post(submission(message="Corrected"), Idempotency_Key="k")
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
