"""`POST /inbound/leads`: rate limits per token, IP address and email address."""

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


async def test_leads_beyond_the_ip_limit_are_spam() -> None:
    async with run_gateway(leads_per_ip_per_hour=2, leads_per_email_per_hour=0) as gateway:
        for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"):
            assert (await gateway.post(submission(meta={"ip": ip}))).status_code == 201
        gateway.advance(3600)
        await gateway.post(submission(meta={"ip": "192.0.2.1"}))
        reasons = [lead.spam_reasons for lead in gateway.leads.leads]
        assert reasons == [(), (), ("rate_ip",), ("rate_ip",), (), ()]


async def test_leads_beyond_the_email_limit_are_spam() -> None:
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
