"""The suppression list in the API and on its page."""

from uuid import uuid4

from runtime.settings import Postgres
from tests.support.services.admin import Admin
from tests.support.services.dashboard import csrf_token, running_dashboard, sign_in
from tests.support.stack import Stack


async def test_an_address_is_added_as_a_digest_and_removed(admin: Admin) -> None:
    body = {"email": "Ada+news@example.com"}
    first = (await admin.client.post("/admin/suppressions", json=body)).json()
    assert (first["site"], first["reason"], first["created_by"]) == (None, "manual", "ann")
    again = (await admin.client.post("/admin/suppressions", json={"email": "ada@EXAMPLE.com"})).json()
    assert (again["id"], again["digest"]) == (first["id"], first["digest"])
    other = {"email": "ada@example.com", "site": "studio"}
    assert (await admin.client.post("/admin/suppressions", json=other)).json()["id"] != first["id"]
    found = await admin.get("/admin/suppressions")
    assert (found["total"], [each["site"] for each in found["suppressions"]]) == (2, ["studio", None])
    assert b"ada" not in (await admin.client.get("/admin/suppressions")).content.lower()
    path = f"/admin/suppressions/{first['id']}"
    assert [(await admin.client.delete(path)).status_code for _ in range(2)] == [204, 404]
    rows = await admin.db.fetch("SELECT event, actor, details_json::text FROM audit_log ORDER BY id")
    assert [(row["event"], row["actor"]) for row in rows] == [("suppression.added", "ann")] * 3 + [
        ("suppression.removed", "ann")
    ]
    assert not any("ada" in row["details_json"] for row in rows)


async def test_an_invalid_address_is_refused(admin: Admin) -> None:
    assert (await admin.client.post("/admin/suppressions", json={"email": "ada"})).status_code == 422
    assert (await admin.client.delete(f"/admin/suppressions/{uuid4()}")).status_code == 404


async def test_the_page_adds_and_removes_an_entry(postgres: Postgres, stack: Stack) -> None:
    async with running_dashboard(postgres, stack) as admin:
        csrf = await sign_in(admin)
        url = "/admin/ui/suppressions"
        assert "No address is suppressed" in (await admin.client.get(url)).text
        wrong = await admin.client.post(url, data={"csrf": csrf, "email": "ada"})
        assert (wrong.status_code, "Enter a valid email address." in wrong.text) == (422, True)
        added = await admin.client.post(url, data={"csrf": csrf, "email": "ada@example.com"})
        assert added.status_code == 303
        page = (await admin.client.get(url)).text
        assert "ada@" not in page
        entry = await admin.db.fetchval("SELECT id FROM suppressed_address")
        await admin.client.post(f"{url}/{entry}/remove", data={"csrf": csrf_token(page)})
        assert await admin.db.fetchval("SELECT count(*) FROM suppressed_address") == 0
