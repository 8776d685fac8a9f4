"""`POST /inbound/leads`: which tokens are accepted."""

import pytest

from runtime import metrics
from services.ingest import problems
from tests.support.gateway import TOKEN, Gateway, expect_problem, gateway, submission


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer t\xf6ken",
        "Bearer \u20ac",
    ],
)
async def test_without_a_valid_token_the_answer_is_401(ours: Gateway, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    answer = await ours.client.post("/inbound/leads", json=submission(), headers=headers)
    expect_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not ours.leads.records


async def test_regression_a_stranger_is_counted_and_not_listed_in_the_audit_log(ours: Gateway) -> None:
    counter = metrics.REQUESTS_REJECTED.labels(code=problems.UNAUTHORIZED.code)._value
    before = counter.get()
    for _ in range(5):
        headers = {"Authorization": "Bearer x"}
        answer = await ours.client.post("/inbound/leads", json=submission(), headers=headers)
        assert answer.status_code == 401
    assert counter.get() == before + 5
    assert ours.audit.entries == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_any_of_the_tokens_is_taken_and_names_its_site(scheme: str) -> None:
    tokens = "www:first-token-0123456789abcdef, shop:second-token-0123456789abc,third-token-0123456789abcd"
    async with gateway(site_tokens=tokens) as ours:
        for token in (
            "first-token-0123456789abcdef",
            "second-token-0123456789abc",
            "third-token-0123456789abcd",
        ):
            answer = await ours.client.post(
                "/inbound/leads", json=submission(), headers={"Authorization": f"{scheme} {token}"}
            )
            assert answer.status_code == 201
        assert [lead.site for lead in ours.leads.leads] == ["www", "shop", "default"]
