"""The dashboard's door: who gets a session, what a forged form meets, what the headers say."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute

from runtime.database.postgres import autocommit
from runtime.settings import Kafka, Postgres
from services.admin.auth.session import COOKIE
from services.admin.auth.token_auth import FAILURES_A_MINUTE
from services.admin.dashboard.pages import pages
from services.admin.dashboard.rendering import HEADERS
from tests.support.admin import TOKEN, Admin, running_admin
from tests.support.factories import lead as make_lead
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as running:
        del running.client.headers["Authorization"]
        # The cookie is for TLS only outside DEBUG.
        running.client.base_url = httpx.URL("https://admin")
        yield running


async def sign_in(admin: Admin) -> str:
    """Sign in, and return the session's word for forms."""
    answer = await admin.client.post("/admin/login", data={"token": TOKEN})
    assert answer.status_code == 303, answer.text
    page = await admin.client.get("/admin/ui/jobs")
    found = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert found, page.text
    return found.group(1)


def routes_of(router: Any) -> Iterator[APIRoute]:
    """All routes, also of routers that were included."""
    for each in router.routes:
        if isinstance(each, APIRoute):
            yield each
        elif hasattr(each, "original_router"):
            yield from routes_of(each.original_router)


def pages_of() -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"{\w+_id}", str(uuid4()), route.path).replace("{kind}", "welcome"))
        for route in routes_of(pages())
        if route.path != "/admin/login"
        for method in route.methods or ()
    ]


async def test_without_a_session_every_page_sends_to_the_door(admin: Admin) -> None:
    found = pages_of()
    assert len(found) > 10
    for method, path in found:
        answer = await admin.client.request(method, path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/admin/login"), path
        part = await admin.client.request(method, path, headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/admin/login"), path


async def test_who_stayed_until_the_session_ended_comes_back_to_the_same_page(admin: Admin) -> None:
    for page, onward in (
        ("https://admin/admin/ui/jobs?x=1", "/admin/login?next=/admin/ui/jobs"),
        ("https://admin/admin/ui/\u00e4", "/admin/login?next=/admin/ui/%C3%A4"),
        ("//[", "/admin/login"),
    ):
        headers = {b"HX-Request": b"true", b"HX-Current-URL": page.encode("latin-1")}
        part = await admin.client.get("/admin/ui/overview/work", headers=headers)
        assert (part.status_code, part.headers["hx-redirect"]) == (401, onward)


async def test_a_token_opens_a_session_that_scripts_and_other_sites_cannot_use(admin: Admin) -> None:
    answer = await admin.client.post("/admin/login", data={"token": f" {TOKEN} ", "next": "/admin/ui/leads"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/ui/leads")
    cookie = answer.headers["set-cookie"]
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/admin", "Max-Age=43200"):
        assert flag in cookie
    assert TOKEN not in cookie
    page = await admin.client.get("/admin/ui/leads")
    assert page.status_code == 200
    assert TOKEN not in page.text
    for name, value in HEADERS.items():
        assert page.headers[name] == value


async def test_the_api_takes_no_cookie(admin: Admin) -> None:
    await sign_in(admin)
    assert (await admin.client.get("/admin/leads")).status_code == 401


async def test_signing_out_forgets_the_session(admin: Admin) -> None:
    word = await sign_in(admin)
    answer = await admin.client.post("/admin/logout", data={"csrf": word})
    assert answer.headers["location"] == "/admin/login"
    assert COOKIE not in admin.client.cookies
    assert (await admin.client.get("/admin")).status_code == 303


async def test_regression_a_signed_out_session_is_over_on_every_replica(
    admin: Admin, postgres: Postgres, stack: Stack
) -> None:
    word = await sign_in(admin)
    cookie = f"{COOKIE}={admin.client.cookies[COOKIE]}"
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as other:
        del other.client.headers["Authorization"]
        thief = {"Cookie": cookie}
        assert (await other.client.get("/admin/ui/jobs", headers=thief)).status_code == 200
        assert (await admin.client.post("/admin/logout", data={"csrf": word})).status_code == 303
        for replica in (admin, other):
            answer = await replica.client.get("/admin/ui/jobs", headers=thief)
            assert (answer.status_code, answer.headers["location"][:12]) == (303, "/admin/login")
            answer = await replica.client.post("/admin/ui/leads", data={"csrf": word}, headers=thief)
            assert answer.headers["location"] == "/admin/login"
    # Signing in again opens another session.
    await sign_in(admin)


async def test_regression_a_page_is_refused_while_nobody_can_tell_whether_its_session_was_signed_out(
    admin: Admin,
) -> None:
    word = await sign_in(admin)
    pool = admin.app.state.adapters.store._pool
    async with autocommit(pool) as connection:
        before = connection.get_server_pid()
    async with AsyncExitStack() as users:
        for _ in range(pool.get_max_size()):
            await users.enter_async_context(autocommit(pool))
        answer = await admin.client.get("/admin/ui/nothing/here")
        assert answer.status_code == 503
        assert "Try again" in answer.text
        answer = await admin.client.post("/admin/logout", data={"csrf": word})
        assert answer.status_code == 503
        assert (await admin.client.get("/admin")).status_code == 200, "it says what is away"
    # A pool that is only busy keeps its connections.
    pids = set[int]()
    async with AsyncExitStack() as users:
        for _ in range(pool.get_max_size()):
            pids.add((await users.enter_async_context(autocommit(pool))).get_server_pid())
    assert before in pids
    assert (await admin.client.get("/admin/ui/jobs")).status_code == 200


async def test_forged_posts_are_refused_and_change_nothing(admin: Admin) -> None:
    word = await sign_in(admin)
    lead = await admin.add_lead()
    url = f"/admin/ui/leads/{lead.lead_id}/status"
    good = {"csrf": word, "status": "won"}
    forged: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"status": "won"}, {}),
        ({"status": "won", "csrf": ""}, {}),
        ({"status": "won", "csrf": "0" * 64}, {}),
        (good, {"Origin": "https://evil.example"}),
        (good, {"Origin": "null"}),
        (good, {"Sec-Fetch-Site": "cross-site"}),
        (good, {"Sec-Fetch-Site": "same-site"}),
    ]
    for data, headers in forged:
        assert (await admin.client.post(url, data=data, headers=headers)).status_code == 403, headers
    status = "SELECT status FROM lead_inbox WHERE id = $1"
    assert await admin.db.fetchval(status, lead.lead_id) == "received"
    answer = await admin.client.post(url, data=good, headers={"Origin": "https://admin"})
    assert answer.status_code == 303
    assert await admin.db.fetchval(status, lead.lead_id) == "won"


async def test_a_forged_sign_in_is_refused(admin: Admin) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "https://["},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = await admin.client.post("/admin/login", data={"token": TOKEN}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_wrong_tokens_are_limited_together_with_the_api_s(admin: Admin) -> None:
    for _ in range(FAILURES_A_MINUTE):
        answer = await admin.client.post("/admin/login", data={"token": "a-wrong-one"})
        assert answer.status_code == 401
        assert "a-wrong-one" not in answer.text
    answer = await admin.client.post("/admin/login", data={"token": "a-wrong-one"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert (await admin.client.get("/admin/leads", headers={"Authorization": "Bearer x"})).status_code == 429
    assert (await admin.client.post("/admin/login", data={"token": TOKEN})).status_code == 303


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example/", "//evil.example/admin", "/\\evil.example", "/adminevil", "javascript:alert(1)",
     "/admin/../x\n", "/admin/..//evil.example", "/admin//evil.example", "/admin/login", "\xfc"],
)  # fmt: skip
async def test_the_door_leads_nowhere_else(admin: Admin, onward: str) -> None:
    answer = await admin.client.post("/admin/login", data={"token": TOKEN, "next": onward})
    assert answer.headers["location"] == "/admin"


async def test_a_link_from_a_mail_finds_the_session_on_its_second_asking(admin: Admin) -> None:
    lead = await admin.add_lead()
    browser = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    answer = await admin.client.get(f"/admin/leads/{lead.lead_id}", headers=browser)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/ui/leads/{lead.lead_id}")
    # The browser keeps the cookie back, and would send it when our own page asks.
    answer = await admin.client.get(f"/admin/ui/leads/{lead.lead_id}", headers=browser)
    assert answer.status_code == 200
    assert f"0; url=/admin/ui/leads/{lead.lead_id}?again=1" in answer.text
    assert lead.email not in answer.text


async def test_a_browser_without_scripts_searches_and_works_with_plain_forms(admin: Admin) -> None:
    word = await sign_in(admin)
    lead, other = await admin.add_lead(name="Grace Hopper"), await admin.add_lead(name="Ada Lovelace")
    found = await admin.client.post("/admin/ui/leads", data={"csrf": word, "q": "hop", "status": ""})
    assert found.status_code == 200
    assert f"/admin/ui/leads/{lead.lead_id}" in found.text
    assert str(other.lead_id) not in found.text
    url = f"/admin/ui/leads/{lead.lead_id}"
    answer = await admin.client.post(f"{url}/edit", data={"csrf": word, "assignee": "ann", "notes": "a\r\nb"})
    assert (answer.status_code, answer.headers["location"]) == (303, url)
    page = (await admin.client.get(url)).text
    assert 'value="ann"' in page
    stored = await admin.db.fetchrow("SELECT name, notes FROM lead_inbox WHERE id = $1", lead.lead_id)
    assert stored is not None
    assert tuple(stored) == ("Grace Hopper", "a\nb"), "what a form does not show stays as it was"


async def test_what_is_not_there_or_not_valid_is_a_page_for_people(admin: Admin) -> None:
    await sign_in(admin)
    wrong = {
        f"/admin/ui/leads/{uuid4()}": 404,
        "/admin/ui/leads/x": 422,
        "/admin/ui/leads?status=nonsense": 422,
        "/admin/ui/audit?cursor=x": 422,
    }
    for path, status in wrong.items():
        answer = await admin.client.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "nonsense" not in answer.text


async def test_a_body_too_large_is_refused_before_it_is_read(admin: Admin) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await admin.client.post("/admin/login", content=b"token=" + b"x" * 600_000, headers=form)
    assert answer.status_code == 413


async def test_static_files_are_kept_by_version(admin: Admin) -> None:
    page = await admin.client.get("/admin/login")
    urls = re.findall(r'(?:href|src)="(/admin/static/[^"]+)"', page.text)
    assert len(urls) == 4
    for url in urls:
        answer = await admin.client.get(url)
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_regression_a_lead_that_the_gateway_refused_has_a_page_and_can_be_sent_again(
    admin: Admin,
) -> None:
    csrf, lead_id = await sign_in(admin), uuid4()
    queue_id = await admin.add_queue_row(
        stage="site", kind="pull", lead_id=lead_id, state="dead", next_attempt_at=None, made_by="site_pull",
        origin_topic="site:shop", reason="gateway 422: email", record_key=b"key-1",
    )  # fmt: skip
    assert "gateway 422: email" in (await admin.client.get(f"/admin/ui/leads/{lead_id}")).text
    again = f"/admin/ui/workbench/items/{queue_id}/replay"
    assert again in (await admin.client.get("/admin/ui/workbench/items", params={"stage": "site"})).text
    assert (await admin.client.post(again, data={"csrf": csrf})).status_code == 303
    assert await admin.db.fetchval("SELECT state FROM replay_queue") == "waiting"


@pytest.mark.parametrize("tail", ["x%0d%0aX-Evil:%201", "%C3%A4%E2%82%AC", "a%20b"])
async def test_regression_a_browser_s_odd_address_is_sent_on_and_breaks_no_header(
    admin: Admin, tail: str
) -> None:
    browser = {"Accept": "text/html", "Sec-Fetch-Site": "none"}
    answer = await admin.client.get(f"/admin/leads/{tail}", headers=browser)
    assert answer.status_code == 303
    assert answer.headers["location"].isascii()
    assert not set(answer.headers["location"]) & set("\r\n ")
    assert "x-evil" not in answer.headers


async def test_an_address_of_no_page_is_told_so_in_a_page(admin: Admin) -> None:
    assert (await admin.client.get("/admin/ui/nothing/here")).headers["location"].startswith("/admin/login")
    await sign_in(admin)
    answer = await admin.client.get("/admin/ui/nothing/here")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no such page." in answer.text


async def test_regression_a_note_can_be_saved_after_the_status_was_changed_beside_it(admin: Admin) -> None:
    word = await sign_in(admin)
    lead = await admin.add_lead()
    url = f"/admin/ui/leads/{lead.lead_id}"
    in_place = {"HX-Request": "true"}

    def seen(html: str) -> str:
        found = re.search(r'id="seen" name="expected_updated_at" value="([^"]+)"', html)
        assert found, html
        return found.group(1)

    async def change(status: str, saw: str) -> str:
        form = {"csrf": word, "status": status, "seen": saw}
        answer = await admin.client.post(f"{url}/status", data=form, headers=in_place)
        assert answer.status_code == 200, answer.text
        return seen(answer.text)

    async def note(text: str, saw: str) -> int:
        form = {"csrf": word, "notes": text, "expected_updated_at": saw}
        return (await admin.client.post(f"{url}/edit", data=form, headers=in_place)).status_code

    first = seen((await admin.client.get(url)).text)
    assert await note("she wants a shop", await change("contacted", first)) == 204
    # Somebody else was at it in between: then the note's form is as stale as it was.
    stale = seen((await admin.client.get(url)).text)
    assert await note("somebody else's", stale) == 204
    assert await note("mine, over theirs", await change("won", stale)) == 409
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "somebody else's"


async def test_regression_the_question_before_clearing_counts_what_waits_whatever_is_shown(
    admin: Admin,
) -> None:
    await sign_in(admin)
    url = "/admin/ui/workbench?state=dead"
    page = (await admin.client.get(url)).text
    assert re.search(r'<button id="clear"[^>]* disabled>', page)
    await admin.add_queue_row(state="dead", next_attempt_at=None, lead_id=uuid4())
    for _ in range(2):
        await admin.add_queue_row(lead_id=uuid4())
    page = (await admin.client.get(url)).text
    assert 'Set <span id="count-clear">2 waiting rows</span> aside' in page
    assert 'Try <span id="count-flush">2 waiting rows</span> now' in page
    assert not re.search(r'<button id="clear"[^>]* disabled>', page)


async def test_a_lead_that_is_not_stored_is_shown_as_it_came_and_can_be_mended_before_its_replay(
    admin: Admin,
) -> None:
    word, lead = await sign_in(admin), make_lead(name="Ada <Parked>", email="adda@example.com", phone="0123")
    await admin.add_queue_row(
        stage="persister",
        kind="store",
        lead_id=lead.lead_id,
        state="dead",
        next_attempt_at=None,
        payload=lead.model_dump_json().encode(),
    )
    url = f"/admin/ui/leads/{lead.lead_id}"
    page = (await admin.client.get(url)).text
    for shown in ("Ada &lt;Parked&gt;", "adda@example.com", "0123", "not stored so far"):
        assert shown in page
    form = (await admin.client.get(f"{url}/edit")).text
    seen = re.search(r'name="expected_updated_at" value="([^"]+)"', form)
    assert seen
    mended = {"csrf": word, "email": "ada@example.com", "expected_updated_at": seen.group(1)}
    assert (await admin.client.post(f"{url}/edit", data=mended)).status_code == 303
    assert "ada@example.com" in (await admin.client.get(url)).text
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue")
    assert row is not None
    assert (b"ada@example.com" in row["payload"], b"adda@example.com" in row["original_payload"]) == (
        True,
        True,
    )


async def test_a_lead_that_is_not_stored_can_be_handed_out_and_erased(admin: Admin) -> None:
    word, lead_id = await sign_in(admin), uuid4()
    await admin.add_queue_row(
        stage="persister", kind="store", lead_id=lead_id, reason="database refused the data (22001)"
    )
    url = f"/admin/ui/leads/{lead_id}"
    page = (await admin.client.get(url)).text
    assert "The database does not accept something in this lead" in page
    assert f'action="{url}/export"' in page
    assert f'href="{url}/erase"' in page
    assert (await admin.client.post(f"{url}/export", data={"csrf": word})).status_code == 200
    # Its record names no address, so none has to be typed.
    assert "Type the address" not in (await admin.client.get(f"{url}/erase")).text
    deleted = await admin.client.post(f"{url}/erase", data={"csrf": word})
    assert (deleted.status_code, "Personal data deleted" in deleted.text) == (200, True)
    assert "The personal data of this lead is deleted" in (await admin.client.get(url)).text
    assert await admin.db.fetchval("SELECT payload FROM replay_queue") is None


async def test_personal_data_is_deleted_by_person_after_the_address_was_typed(admin: Admin) -> None:
    word = await sign_in(admin)
    lead, other = await admin.add_lead(email="ada@example.com"), await admin.add_lead(email="Ada@example.com")
    stranger = await admin.add_lead(email="grace@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}/erase"
    page = (await admin.client.get(url)).text
    assert "2 leads of this address" in page
    assert page.count("Ada Lovelace") >= 2
    assert str(other.lead_id) in page
    assert str(stranger.lead_id) not in page
    mistyped = await admin.client.post(url, data={"csrf": word, "address": "grace@example.com"})
    assert (mistyped.status_code, "Nothing was deleted" in mistyped.text) == (422, True)
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'erased'") == 0
    deleted = await admin.client.post(url, data={"csrf": word, "address": " ADA@example.com"})
    assert (deleted.status_code, "2 leads of this person" in deleted.text) == (200, True)
    kept = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")
    assert [row["id"] for row in kept] == [stranger.lead_id]
