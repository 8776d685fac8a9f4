"""`POST /inbound/leads`: idempotency keys and replays."""

from contracts.leads import lead_id_for
from tests.support.services.gateway import Gateway, expect_problem, run_gateway, submission


async def test_key_header_takes_precedence_over_request_id(gateway: Gateway) -> None:
    await gateway.post(submission(request_id="in-body"), Idempotency_Key="in-header")
    await gateway.post(submission(request_id="in-body", name="Grace"))
    first, second = gateway.leads.leads
    assert (first.request_id, first.lead_id) == ("in-header", lead_id_for("www", "in-header"))
    assert (second.request_id, second.lead_id) == ("in-body", lead_id_for("www", "in-body"))


async def test_posts_without_a_key_are_separate_leads(gateway: Gateway) -> None:
    ids = {(await gateway.post()).json()["leadId"] for _ in range(3)}
    assert len(ids) == 3
    assert len({lead.request_id for lead in gateway.leads.leads}) == 3


async def test_replay_gets_the_first_response_with_a_header(gateway: Gateway) -> None:
    first = await gateway.post(Idempotency_Key="k")
    gateway.advance(60)
    again = await gateway.post_raw(
        # Another order, other blanks, an absent field as null, a request_id of its own: the same lead.
        '{ "message":"Hello ", "email":"ada@example.com","service":"Web","name":" Ada","phone":null,'
        '"request_id":"other", "meta":{"ip":"192.0.2.9"}}',
        {"Idempotency-Key": "k"},
    )
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(gateway.leads.records) == 1


async def test_key_reused_for_another_lead_gets_a_422(gateway: Gateway) -> None:
    await gateway.post(Idempotency_Key="k")
    problem = expect_problem(await gateway.post(submission(message="Other"), Idempotency_Key="k"), 422)
    assert problem["type"] == "urn:fastcore:problem:key-reused"
    assert len(gateway.leads.records) == 1


async def test_sites_do_not_share_keys() -> None:
    tokens = "www:first-token-0123456789abcdef,shop:second-token-0123456789abc"
    async with run_gateway(site_tokens=tokens) as gateway:
        for token, text in (("first-token-0123456789abcdef", "A"), ("second-token-0123456789abc", "B")):
            answer = await gateway.client.post(
                "/inbound/leads",
                json=submission(message=text),
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "k"},
            )
            assert answer.status_code == 201


async def test_key_without_a_201_can_be_used_again(gateway: Gateway) -> None:
    gateway.leads.make_kafka_unavailable()
    expect_problem(await gateway.post(Idempotency_Key="k"), 503)
    gateway.leads.error = None
    answer = await gateway.post(submission(message="Corrected"), Idempotency_Key="k")
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
