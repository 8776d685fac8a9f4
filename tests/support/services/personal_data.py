"""The forms of the dashboard that delete a person's data, submitted as a browser does."""

import re
from html import unescape
from typing import Any
from uuid import UUID

import httpx

from tests.support.services.admin import Admin

ADA = "ada@example.com"


def url_of(lead_id: UUID) -> str:
    return f"/admin/ui/leads/{lead_id}/erase"


async def delete(admin: Admin, word: str, lead_id: UUID, *others: UUID, address: str = ADA) -> httpx.Response:
    """Post the confirmation as the browser does: with the ids of the boxes that are ticked."""
    fields = {"csrf": word, "address": address, "lead_ids": [str(each) for each in others]}
    return await admin.client.post(url_of(lead_id), data=fields)


async def retry(admin: Admin, lead_id: UUID, page: str) -> httpx.Response:
    """Submit the form "Try again" of a result page."""
    assert "Try again</button>" in page
    fields = dict[str, list[str]]()
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page):
        fields.setdefault(name, []).append(unescape(value))
    fields["csrf"] = fields["csrf"][:1]
    return await admin.client.post(url_of(lead_id), data=fields)


async def erased(db: Any) -> set[UUID]:
    return {row["id"] for row in await db.fetch("SELECT id FROM lead_inbox WHERE status = 'erased'")}
