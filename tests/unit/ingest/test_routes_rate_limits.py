"""`POST /inbound/leads`: rate limits per token, IP address and email address."""

from pathlib import Path

import pytest

from tests.support.services.gateway import Gateway, expect_problem, run_gateway, submission


async def test_token_limit_gets_a_429_with_rate_limit_headers() -> None:
    async with run_gateway(requests_per_token_per_minute=2) as gateway:
        first = await gateway.post()
        assert first.headers["RateLimit-Policy"] == '"token";q=2;w=60'
        assert first.headers["RateLimit"] == '"token";r=1;t=60'
        gateway.advance(10)
        await gateway.post()
        refused = await gateway.post()
        expect_problem(refused, 429)
        assert refused.headers["Retry-After"] == "50"
        assert refused.headers["RateLimit"] == '"token";r=0;t=50'
        gateway.advance(50)
        assert (await gateway.post()).status_code == 201


async def test_token_limit_is_off_by_default(gateway: Gateway) -> None:
    for _ in range(50):
        answer = await gateway.post()
        assert answer.status_code == 201
    assert "RateLimit" not in answer.headers


async def test_leads_beyond_the_ip_limit_are_held() -> None:
    async with run_gateway(leads_per_ip_per_hour=2, leads_per_email_per_hour=0) as gateway:
        for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"):
            assert (await gateway.post(submission(meta={"ip": ip}))).status_code == 201
        gateway.advance(3600)
        await gateway.post(submission(meta={"ip": "192.0.2.1"}))
        reasons = [lead.spam_reasons for lead in gateway.leads.leads]
        assert reasons == [(), (), ("rate_ip",), ("rate_ip",), (), ()]
        assert [lead.first_status for lead in gateway.leads.leads[1:3]] == ["received", "held"]


async def test_the_honeypot_makes_spam_of_a_lead_beyond_a_limit() -> None:
    async with run_gateway(leads_per_ip_per_hour=1, leads_per_email_per_hour=0) as gateway:
        for honeypot in ("", "x"):
            await gateway.post(submission(meta={"ip": "192.0.2.1", "honeypot": honeypot}))
        assert [lead.first_status for lead in gateway.leads.leads] == ["received", "spam"]


SITES = """
[sites.shop]
tokens = ["env:SHOP"]
limits = { leads_per_ip_per_hour = 3 }

[sites.blog]
tokens = ["env:BLOG"]
"""


async def test_regression_each_site_has_its_own_counts_and_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    tokens = {site: f"{site}-token-for-tests-0123456789" for site in ("shop", "blog")}
    for site, token in tokens.items():
        monkeypatch.setenv(site.upper(), token)
    limits = {"leads_per_ip_per_hour": 1, "leads_per_email_per_hour": 0}
    async with run_gateway(tmp_path / "sites.toml", **limits) as gateway:
        for site in ["shop", "blog"] * 4:
            lead = submission(meta={"ip": "192.0.2.1"})
            await gateway.post(lead, Authorization=f"Bearer {tokens[site]}")
        held = [lead.site for lead in gateway.leads.leads if lead.first_status == "held"]
        assert sorted(held) == ["blog", "blog", "blog", "shop"]


async def test_leads_beyond_the_email_limit_are_held() -> None:
    async with run_gateway(leads_per_email_per_hour=1) as gateway:
        for email in ("ada@example.com", "ADA@example.com", "grace@example.com"):
            assert (await gateway.post(submission(email=email))).status_code == 201
        assert [lead.spam_reasons for lead in gateway.leads.leads] == [(), ("rate_email",), ()]


async def test_replay_does_not_count_for_limits() -> None:
    async with run_gateway(leads_per_email_per_hour=1) as gateway:
        for _ in range(3):
            await gateway.post(Idempotency_Key="k")
        assert [lead.spam_reasons for lead in gateway.leads.leads] == [()]


async def test_regression_retried_lead_does_not_become_spam() -> None:
    async with run_gateway(leads_per_email_per_hour=2, leads_per_ip_per_hour=2) as gateway:
        lead = submission(meta={"ip": "192.0.2.1"})
        gateway.leads.make_kafka_unavailable()
        for _ in range(5):
            expect_problem(await gateway.post(lead, Idempotency_Key="k"), 503)
        gateway.leads.error = None
        await gateway.post(lead, Idempotency_Key="k")
        await gateway.post(lead, Idempotency_Key="l")
        await gateway.post(lead, Idempotency_Key="m")
        reasons = [lead.spam_reasons for lead in gateway.leads.leads]
        assert reasons == [(), (), ("rate_ip", "rate_email")]
