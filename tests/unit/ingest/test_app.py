"""The app around the lead endpoint: hosts, unknown routes, CORS, status and operations."""

from dirty_equals import IsPartialDict

from runtime.settings import Debug, Http
from tests.support.services.gateway import Gateway, expect_problem, run_gateway


async def test_regression_debug_mode_refuses_other_host_names() -> None:
    async with run_gateway(debug=Debug(DEBUG=True)) as gateway:
        answer = await gateway.post(Host="rebound.evil.example")
        assert (answer.status_code, gateway.leads.records) == (421, [])
        for name in ("localhost:8000", "127.0.0.1:8001", "ingest:8001"):
            assert (await gateway.post(Host=name)).status_code == 201
    async with run_gateway(http=Http(allowed_hosts="leads.example.com")) as gateway:
        assert (await gateway.post(Host="leads.example.com")).status_code == 201
        assert (await gateway.post(Host="other.example.com")).status_code == 421


async def test_unknown_paths_and_methods_get_problems(gateway: Gateway) -> None:
    expect_problem(await gateway.client.get("/nowhere"), 404)
    expect_problem(await gateway.client.post("/inbound/leads/"), 404)
    refused = await gateway.client.get("/inbound/leads")
    expect_problem(refused, 405)
    assert refused.headers["Allow"] == "POST"
    expect_problem(await gateway.client.post("/livez"), 405)


async def test_cors_is_off_by_default(gateway: Gateway) -> None:
    answer = await gateway.post(Origin="https://www.example.com")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_cors_allows_the_configured_origins() -> None:
    async with run_gateway(cors_origins="https://www.example.com/, https://shop.example.com") as gateway:
        preflight = await gateway.client.options(
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
        assert (await gateway.post(Origin="https://shop.example.com")).headers[
            allowed
        ] == "https://shop.example.com"
        assert (await gateway.post({}, Origin="https://shop.example.com")).headers[allowed]
        assert allowed not in (await gateway.post(Origin="https://evil.example")).headers


async def test_status_reports_the_spool_and_the_breaker(gateway: Gateway) -> None:
    answer = await gateway.client.get("/internal/status")
    empty = {"depth": 0, "bytes": 0, "oldest_age_seconds": None, "damaged_files": 0}
    assert answer.json() == IsPartialDict({"spool": empty, "breaker": "closed"})


async def test_liveness_and_metrics_are_served(gateway: Gateway) -> None:
    assert (await gateway.client.get("/livez")).status_code == 200
    await gateway.post()
    assert (
        b'fastcore_leads_accepted_total{outcome="received"}' in (await gateway.client.get("/metrics")).content
    )
