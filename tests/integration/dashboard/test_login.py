"""Login and logout of the dashboard: cookies, redirects, revocation and rate limit."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from runtime.database.postgres import autocommit
from runtime.settings import Kafka, Postgres
from services.admin.auth.session import COOKIE
from services.admin.auth.token_auth import FAILURES_PER_MINUTE
from services.admin.dashboard.pages import pages
from services.admin.dashboard.rendering import HEADERS
from tests.support.services.admin import TOKEN, Admin, running_admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


def iter_routes(router: Any) -> Iterator[APIRoute]:
    """Yield all routes, also of included routers."""
    for each in router.routes:
        if isinstance(each, APIRoute):
            yield each
        elif hasattr(each, "original_router"):
            yield from iter_routes(each.original_router)


def protected_routes() -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"{\w+_id}", str(uuid4()), route.path).replace("{kind}", "welcome"))
        for route in iter_routes(pages())
        if route.path not in ("/admin/login", "/admin/runbooks/{alert}")
        for method in route.methods or ()
    ]


async def test_without_a_session_every_page_redirects_to_the_login(admin: Admin) -> None:
    found = protected_routes()
    assert len(found) > 10
    for method, path in found:
        response = await admin.client.request(method, path)
        assert response.status_code == 303, path
        assert response.headers["location"].startswith("/admin/login"), path
        part = await admin.client.request(method, path, headers=HTMX)
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/admin/login"), path


async def test_the_login_leads_back_to_the_page_that_htmx_names(admin: Admin) -> None:
    for page, onward in (
        ("https://admin/admin/ui/jobs?x=1#list", "/admin/login?next=/admin/ui/jobs%3Fx%3D1"),
        ("https://admin/admin/ui/\u00e4", "/admin/login?next=/admin/ui/%C3%A4"),
        ("//[", "/admin/login"),
    ):
        headers = {b"HX-Request": b"true", b"HX-Current-URL": page.encode("latin-1")}
        part = await admin.client.get("/admin/ui/status/queue", headers=headers)
        assert (part.status_code, part.headers["hx-redirect"]) == (401, onward)


async def test_login_sets_a_strict_http_only_cookie(admin: Admin) -> None:
    response = await admin.client.post(
        "/admin/login", data={"token": f" {TOKEN} ", "next": "/admin/ui/leads"}
    )
    assert (response.status_code, response.headers["location"]) == (303, "/admin/ui/leads")
    cookie = response.headers["set-cookie"]
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/admin", "Max-Age=43200"):
        assert flag in cookie
    assert TOKEN not in cookie
    page = await admin.client.get("/admin/ui/leads")
    assert page.status_code == 200
    assert TOKEN not in page.text
    for name, value in HEADERS.items():
        assert page.headers[name] == value


async def test_the_api_accepts_no_session_cookie(admin: Admin) -> None:
    await sign_in(admin)
    assert (await admin.client.get("/admin/leads")).status_code == 401


async def test_logout_deletes_the_cookie(admin: Admin) -> None:
    csrf = await sign_in(admin)
    response = await admin.client.post("/admin/logout", data={"csrf": csrf})
    assert response.headers["location"] == "/admin/login"
    assert COOKIE not in admin.client.cookies
    assert (await admin.client.get("/admin")).status_code == 303


async def test_regression_logout_revokes_the_session_on_every_replica(
    admin: Admin, postgres: Postgres, stack: Stack
) -> None:
    csrf = await sign_in(admin)
    cookie = f"{COOKIE}={admin.client.cookies[COOKIE]}"
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as other:
        del other.client.headers["Authorization"]
        thief = {"Cookie": cookie}
        assert (await other.client.get("/admin/ui/jobs", headers=thief)).status_code == 200
        assert (await admin.client.post("/admin/logout", data={"csrf": csrf})).status_code == 303
        for replica in (admin, other):
            response = await replica.client.get("/admin/ui/jobs", headers=thief)
            assert (response.status_code, response.headers["location"][:12]) == (303, "/admin/login")
            response = await replica.client.post("/admin/ui/leads", data={"csrf": csrf}, headers=thief)
            assert response.headers["location"] == "/admin/login"
    # Signing in again opens another session.
    await sign_in(admin)


async def test_regression_pages_are_503_while_revocation_cannot_be_checked(admin: Admin) -> None:
    csrf = await sign_in(admin)
    pool = admin.app.state.adapters.leads._pool
    async with autocommit(pool) as connection:
        before = connection.get_server_pid()
    async with AsyncExitStack() as connections:
        for _ in range(pool.get_max_size()):
            await connections.enter_async_context(autocommit(pool))
        response = await admin.client.get("/admin/ui/nothing/here")
        assert response.status_code == 503
        assert "Try again" in response.text
        response = await admin.client.post("/admin/logout", data={"csrf": csrf})
        assert response.status_code == 503
        assert (await admin.client.get("/admin")).status_code == 200, (
            "the overview reports the database as unavailable"
        )
    # A pool that is only busy keeps its connections.
    pids = set[int]()
    async with AsyncExitStack() as connections:
        for _ in range(pool.get_max_size()):
            pids.add((await connections.enter_async_context(autocommit(pool))).get_server_pid())
    assert before in pids
    assert (await admin.client.get("/admin/ui/jobs")).status_code == 200


async def test_wrong_tokens_share_the_rate_limit_of_the_api(admin: Admin) -> None:
    for _ in range(FAILURES_PER_MINUTE):
        response = await admin.client.post("/admin/login", data={"token": "a-wrong-one"})
        assert response.status_code == 401
        assert "a-wrong-one" not in response.text
    response = await admin.client.post("/admin/login", data={"token": "a-wrong-one"})
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert (await admin.client.get("/admin/leads", headers={"Authorization": "Bearer x"})).status_code == 429
    assert (await admin.client.post("/admin/login", data={"token": TOKEN})).status_code == 303


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example/", "//evil.example/admin", "/\\evil.example", "/adminevil", "javascript:alert(1)",
     "/admin/../x\n", "/admin/..//evil.example", "/admin//evil.example", "/admin/login", "\xfc"],
)  # fmt: skip
async def test_the_login_redirects_to_no_other_site(admin: Admin, onward: str) -> None:
    response = await admin.client.post("/admin/login", data={"token": TOKEN, "next": onward})
    assert response.headers["location"] == "/admin"


async def test_a_login_body_above_the_limit_is_413(admin: Admin) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await admin.client.post("/admin/login", content=b"token=" + b"x" * 600_000, headers=form)
    assert response.status_code == 413
