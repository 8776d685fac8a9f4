"""`POST /inbound/leads`: which tokens are accepted."""

import pytest

from runtime import metrics
from services.ingest import problems
from tests.support.services.gateway import TOKEN, Gateway, expect_problem, run_gateway, submission


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
async def test_request_without_a_valid_token_gets_a_401(gateway: Gateway, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    answer = await gateway.client.post("/inbound/leads", json=submission(), headers=headers)
    expect_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not gateway.leads.records


async def test_regression_401_is_counted_without_an_audit_entry(gateway: Gateway) -> None:
    counter = metrics.REQUESTS_REJECTED.labels(code=problems.UNAUTHORIZED.code)._value
    before = counter.get()
    for _ in range(5):
        headers = {"Authorization": "Bearer x"}
        answer = await gateway.client.post("/inbound/leads", json=submission(), headers=headers)
        assert answer.status_code == 401
    assert counter.get() == before + 5
    assert gateway.audit.entries == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_each_token_is_accepted_and_names_its_site(scheme: str) -> None:
    tokens = "www:first-token-0123456789abcdef, shop:second-token-0123456789abc,third-token-0123456789abcd"
    async with run_gateway(site_tokens=tokens) as gateway:
        for token in (
            "first-token-0123456789abcdef",
            "second-token-0123456789abc",
            "third-token-0123456789abcd",
        ):
            answer = await gateway.client.post(
                "/inbound/leads", json=submission(), headers={"Authorization": f"{scheme} {token}"}
            )
            assert answer.status_code == 201
        assert [lead.site for lead in gateway.leads.leads] == ["www", "shop", "default"]
