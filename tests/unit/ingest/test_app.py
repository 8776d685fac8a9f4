"""The app around the lead endpoint: hosts, unknown routes, CORS, status and operations."""

from dirty_equals import IsPartialDict

from runtime.settings import Debug, Http
from tests.support.gateway import Gateway, expect_problem, gateway


async def test_regression_debug_mode_refuses_other_host_names() -> None:
    async with gateway(debug=Debug(DEBUG=True)) as ours:
        answer = await ours.post(Host="rebound.evil.example")
        assert (answer.status_code, ours.leads.records) == (421, [])
        for name in ("localhost:8000", "127.0.0.1:8001", "ingest:8001"):
            assert (await ours.post(Host=name)).status_code == 201
    async with gateway(http=Http(allowed_hosts="leads.example.com")) as ours:
        assert (await ours.post(Host="leads.example.com")).status_code == 201
        assert (await ours.post(Host="other.example.com")).status_code == 421


async def test_unknown_paths_and_methods_are_problems(ours: Gateway) -> None:
    expect_problem(await ours.client.get("/nowhere"), 404)
    expect_problem(await ours.client.post("/inbound/leads/"), 404)
    refused = await ours.client.get("/inbound/leads")
    expect_problem(refused, 405)
    assert refused.headers["Allow"] == "POST"
    expect_problem(await ours.client.post("/livez"), 405)


async def test_pages_of_other_origins_may_not_post(ours: Gateway) -> None:
    answer = await ours.post(Origin="https://www.example.com")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_pages_of_configured_origins_may_post_and_read_the_answer() -> None:
    async with gateway(cors_origins="https://www.example.com/, https://shop.example.com") as ours:
        preflight = await ours.client.options(
            "/inbound/leads",
            headers={
                "Origin": "https://www.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,idempotency-key",
            },
        )
        assert preflight.status_code == 200
        allowed = "Access-Control-Allow-Origin"
        assert preflight.headers[allowed] == "https://www.example.com"
        assert (await ours.post(Origin="https://shop.example.com")).headers[
            allowed
        ] == "https://shop.example.com"
        assert (await ours.post({}, Origin="https://shop.example.com")).headers[allowed]
        assert allowed not in (await ours.post(Origin="https://evil.example")).headers


async def test_the_status_tells_the_spool_and_the_breaker(ours: Gateway) -> None:
    answer = await ours.client.get("/internal/status")
    empty = {"depth": 0, "bytes": 0, "oldest_age_seconds": None, "damaged_files": 0}
    assert answer.json() == IsPartialDict({"spool": empty, "breaker": "closed"})


async def test_operations_are_answered(ours: Gateway) -> None:
    assert (await ours.client.get("/livez")).status_code == 200
    await ours.post()
    assert b'fastcore_leads_accepted_total{outcome="received"}' in (await ours.client.get("/metrics")).content
