"""`POST /inbound/leads`: rate limits per token, IP address and email address."""

from tests.support.gateway import Gateway, expect_problem, gateway, submission


async def test_a_flood_is_429_with_the_limits_fields_and_passes() -> None:
    async with gateway(requests_per_token_per_minute=2) as ours:
        first = await ours.post()
        assert first.headers["RateLimit-Policy"] == '"token";q=2;w=60'
        assert first.headers["RateLimit"] == '"token";r=1;t=60'
        ours.advance(10)
        await ours.post()
        refused = await ours.post()
        expect_problem(refused, 429)
        assert refused.headers["Retry-After"] == "50"
        assert refused.headers["RateLimit"] == '"token";r=0;t=50'
        ours.advance(50)
        assert (await ours.post()).status_code == 201


async def test_there_is_no_flood_limit_unless_asked_for(ours: Gateway) -> None:
    for _ in range(50):
        answer = await ours.post()
        assert answer.status_code == 201
    assert "RateLimit" not in answer.headers


async def test_too_many_leads_from_one_address_are_kept_as_spam() -> None:
    async with gateway(leads_per_ip_per_hour=2, leads_per_email_per_hour=0) as ours:
        for ip in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"):
            assert (await ours.post(submission(meta={"ip": ip}))).status_code == 201
        ours.advance(3600)
        await ours.post(submission(meta={"ip": "192.0.2.1"}))
        reasons = [lead.spam_reasons for lead in ours.leads.leads]
        assert reasons == [(), (), ("rate_ip",), ("rate_ip",), (), ()]


async def test_too_many_leads_with_one_email_are_kept_as_spam() -> None:
    async with gateway(leads_per_email_per_hour=1) as ours:
        for email in ("ada@example.com", "ADA@example.com", "grace@example.com"):
            assert (await ours.post(submission(email=email))).status_code == 201
        assert [lead.spam_reasons for lead in ours.leads.leads] == [(), ("rate_email",), ()]


async def test_a_replay_counts_for_no_limit() -> None:
    async with gateway(leads_per_email_per_hour=1) as ours:
        for _ in range(3):
            await ours.post(Idempotency_Key="k")
        assert [lead.spam_reasons for lead in ours.leads.leads] == [()]


async def test_regression_a_lead_that_the_site_must_repeat_does_not_become_spam() -> None:
    async with gateway(leads_per_email_per_hour=2, leads_per_ip_per_hour=2) as ours:
        lead = submission(meta={"ip": "192.0.2.1"})
        ours.leads.make_kafka_unavailable()
        for _ in range(5):
            expect_problem(await ours.post(lead, Idempotency_Key="k"), 503)
        ours.leads.error = None
        await ours.post(lead, Idempotency_Key="k")
        await ours.post(lead, Idempotency_Key="l")
        await ours.post(lead, Idempotency_Key="m")
        reasons = [lead.spam_reasons for lead in ours.leads.leads]
        assert reasons == [(), (), ("rate_ip", "rate_email")]
