"""What the answer to a canary shows, whatever a gateway or a website answers."""

import json
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from runtime.sites.model import Site
from services.flusher.canary.canary_client import Canary, CanaryClient, Sent

SITE = Site(form_key="studio-4k7w9q2m", contact_url="https://studio.example/api/contact")


async def send(answer: httpx.Response, route: str = "form") -> Sent:
    """Send a canary, and return what this answer shows."""
    transport = httpx.MockTransport(lambda _request: answer)
    async with httpx.AsyncClient(transport=transport) as client:
        sender = CanaryClient(client, b"a secret of the tests", "https://leads.example")
        return await sender.send(Canary(uuid7(), "studio", route, SITE))


def failed(sent: Sent) -> dict[str, str]:
    return {each.hop: each.reason for each in sent.results if each.reason}


@pytest.mark.parametrize("code", ["a\0b", "\ud800", "<script>", "x" * 41, 7, None, {"a": []}])
async def test_a_code_that_the_database_would_refuse_is_left_out(code: Any) -> None:
    kind = f"urn:problem:{code}" if isinstance(code, str) else code
    body = json.dumps({"type": kind}).encode()
    assert failed(await send(httpx.Response(500, content=body), "website")) == {"website": "HTTP 500"}


async def test_the_code_of_a_problem_is_shown() -> None:
    answer = httpx.Response(403, json={"type": "urn:fastcore:problem:wrong-origin"})
    assert failed(await send(answer)) == {"form": "HTTP 403 wrong-origin"}


@pytest.mark.parametrize(
    ("where", "hops"),
    [("kafka", set()), ("known", set()), ("spool", {"kafka"}), ("limited", {"gateway"}), ("", {"gateway"})],
)
async def test_the_answer_says_where_the_canary_is(where: str, hops: set[str]) -> None:
    headers = {"FASTCore-Canary": where} if where else {}
    sent = await send(httpx.Response(201, headers=headers, json={}))
    assert failed(sent).keys() == hops
    # Only a gateway that does not know the mark makes the flusher wait for an hour.
    assert sent.is_unmarked is (not where)
