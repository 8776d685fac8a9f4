"""Authentication of the admin API: tokens, actors and the limit on wrong tokens."""

import re
from uuid import uuid4

import pytest

from runtime.settings import Debug, Kafka, Postgres
from services.admin.auth.token_auth import FAILURES_PER_MINUTE
from tests.support.services.admin import TOKEN, Admin, running_admin
from tests.support.stack import Stack


def routes_of(admin: Admin) -> list[tuple[str, str]]:
    paths = admin.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


async def test_every_route_requires_a_token(admin: Admin) -> None:
    routes = [(method, path) for method, path in routes_of(admin) if path.startswith("/admin")]
    assert ("DELETE", "/admin/leads/{lead_id}") in routes
    for method, path in routes:
        concrete = re.sub(r"{\w+_id}", str(uuid4()), path).format(
            kind="welcome", stage="notifier", name="crm", destination="crm"
        )
        answer = await admin.client.request(method, concrete, headers={"Authorization": ""})
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"Bearer wrong",
        b"Bearer ",
        b"Bearer",
        b"Basic " + TOKEN.encode(),
        b"Bearer " + TOKEN[:-1].encode(),
        b"Bearer " + TOKEN.encode() + b"x",
        "Bearer tökén".encode(),
        b"Bearer \xff\xfe",
        TOKEN.encode(),
    ],
)
async def test_an_invalid_authorization_header_is_refused(admin: Admin, sent: bytes) -> None:
    answer = await admin.client.get("/admin/leads", headers={b"Authorization": sent})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_the_name_of_a_token_is_the_actor(admin: Admin) -> None:
    lead = await admin.add_lead()
    path = f"/admin/leads/{lead.lead_id}/status"
    answer = await admin.client.patch(
        path, params={"new_status": "won"}, headers={"Authorization": f"Bearer bob-{TOKEN}"}
    )
    assert answer.status_code == 200
    assert await admin.db.fetchval("SELECT actor FROM audit_log") == "bob"


async def test_regression_wrong_tokens_are_limited_and_valid_ones_are_not(admin: Admin) -> None:
    wrong = {"Authorization": "Bearer guess"}
    for _ in range(FAILURES_PER_MINUTE):
        assert (await admin.client.get("/admin/leads", headers=wrong)).status_code == 401
    answer = await admin.client.get("/admin/leads", headers=wrong)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["title"] == "Too Many Requests"
    assert (await admin.client.get("/admin/leads")).status_code == 200


async def test_regression_debug_mode_refuses_other_host_names(postgres: Postgres, stack: Stack) -> None:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka, debug=Debug(DEBUG=True)) as admin:
        for path in ("/admin/leads", "/admin/login", "/livez"):
            answer = await admin.client.get(path, headers={"Host": "rebound.evil.example"})
            assert answer.status_code == 421
            assert (await admin.client.get(path, headers={"Host": "10.0.0.7:8005"})).status_code == 200
