"""Error responses, caching headers and the OpenAPI document of the admin API."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.support.services.admin import Admin

CANARY = "canary-7f3a@example.com"


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/admin/leads", {"limit": CANARY}, "limit"),
        ("/admin/leads", {"limit": 0}, "limit"),
        ("/admin/leads", {"limit": 100_000}, "limit"),
        ("/admin/leads", {"offset": -1}, "offset"),
        ("/admin/leads", {"status_filter": CANARY}, "status_filter"),
        ("/admin/leads", {"q": "x" * 256}, "q"),
        ("/admin/leads", {"q": "a\x00b"}, "q"),
        ("/admin/leads", {"service": "a\x00b"}, "service"),
        ("/admin/leads", {"since": CANARY}, "since"),
        ("/admin/leads", {"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ("/admin/leads", {"cursor": CANARY}, "cursor"),
        ("/admin/leads", {"cursor": "MjAyNC0wMS0wMyB4"}, "cursor"),
        ("/admin/leads", {CANARY: "x"}, "query"),
        (f"/admin/leads/{CANARY}", {}, "lead_id"),
        ("/admin/audit", {"event": CANARY}, "event"),
        ("/admin/audit", {"lead_id": CANARY}, "lead_id"),
        ("/admin/audit", {"cursor": "MjAyNC0wMS0wMyA5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"}, "cursor"),
        ("/admin/queue/items", {"stage": CANARY}, "stage"),
    ],
)
async def test_a_422_names_the_parameter_and_not_its_value(
    admin: Admin, path: str, params: dict[str, Any], field: str
) -> None:
    answer = await admin.client.get(path, params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "canary" not in answer.text


async def test_unknown_routes_and_methods_are_problems(admin: Admin) -> None:
    for method, path, status in [
        ("GET", f"/admin/leads/{uuid4()}", 404),
        ("GET", "/admin/nothing", 404),
        ("PUT", "/admin/leads", 405),
    ]:
        answer = await admin.client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unexpected_error_is_a_500_without_a_traceback(admin: Admin) -> None:
    async def broken() -> None:
        raise RuntimeError(CANARY)

    admin.app.router.routes.append(APIRoute("/broken", broken))
    answer = await admin.client.get("/broken")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text


async def test_responses_are_not_cached(admin: Admin) -> None:
    assert (await admin.client.get("/admin/leads")).headers["cache-control"] == "no-store"


async def test_the_docs_need_no_token_and_document_each_response(admin: Admin) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(admin.app), base_url="http://admin") as open_:
        assert (await open_.get("/admin/docs")).status_code == 200
        document = (await open_.get("/admin/openapi.json")).json()
    for path, methods in document["paths"].items():
        if path.startswith("/admin"):
            for operation in methods.values():
                assert operation["security"] == [{"HTTPBearer": []}]
                code, done = next(each for each in operation["responses"].items() if each[0] < "300")
                if path.endswith((".csv", ".xlsx", "/checkpoint", "/consistency", "/proof")):
                    assert "application/json" not in done["content"]
                elif code != "204":
                    schema = done["content"]["application/json"]["schema"]
                    assert "$ref" in schema.get("items", schema)
                assert "application/problem+json" in operation["responses"]["422"]["content"]


async def test_regression_a_body_that_is_no_text_has_a_described_problem(admin: Admin) -> None:
    document = (await admin.client.get("/admin/openapi.json")).json()
    described = document["paths"]["/admin/leads/erase"]["post"]["responses"]
    for content, status in ((b"\xff", "400"), (b" " * 2_000_000, "413"), (b"{", "422")):
        headers = {"Content-Type": "application/json"}
        answer = await admin.client.post("/admin/leads/erase", content=content, headers=headers)
        assert str(answer.status_code) == status
        assert answer.headers["content-type"] in described[status]["content"]
