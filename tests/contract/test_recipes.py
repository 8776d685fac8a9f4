"""docs/recipes.md: each recipe, as the page has it, sends what its service takes. The services are stubs."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.lead_events import LeadEvent
from contracts.leads import LeadReceived
from runtime.sites.file import parse_sites
from runtime.sites.secrets import ResolvedDestination, resolve_destinations
from services.webhooks.client import Request, open_client
from services.webhooks.outcome import Outcome, Result
from services.webhooks.requests import build_request
from tests.support.factories import lead
from tests.support.web.destination_stubs import crm
from tests.support.web.destination_stubs.recipes import TABLES, ZOHO_FILE, blocks, recipes, table_for_stub
from tests.support.web.destination_stubs.server import Stub, running_stub

pytestmark = pytest.mark.asyncio(loop_scope="module")
Send = Callable[[Request], Awaitable[Outcome]]
RECIPES = recipes()
HOSTILE = '"; }} {% raw %} \\ \n=HYPERLINK("https://evil.example") ``` @channel <!channel> 名 é &x=1'
LEADS = {
    "whole": lead(phone="+44 (0)20 7946 0000", company="Engines Ltd", extra={"budget": 5000}),
    "short": lead(name="Ada", phone=None, company=None),
    "hostile": lead(name=HOSTILE, company="=HYPERLINK(1)", message=HOSTILE * 20, phone="030 / 12 34-5"),
    "nameless": lead(name=None, company=None),
}
# What a recipe may lose in an edit: its service must refuse the rest.
MISTAKES = [
    ("hubspot-form", '"name": "email"', '"name": "mail"'),
    ("hubspot-form", '"objectTypeId": "0-1", ', ""),
    ("hubspot-form", "(lead.email or", "(none or"),
    ("hubspot-contact", '"idProperty": "email", ', ""),
    ("hubspot-contact", '"firstname"', '"first_name"'),
    ("hubspot-contact", '"inputs"', '"data"'),
    ("pipedrive", '"name":', '"title":'),
    ("pipedrive", '"emails"', '"email"'),
    ("salesforce", '"oid": "00D000000000000", ', ""),
    ("salesforce", '"last_name"', '"lastname"'),
    ("salesforce", '"company"', '"account"'),
    ("salesforce", "?encoding=UTF-8", ""),
    ("zoho", '"Last_Name"', '"LastName"'),
    ("zoho", '"Company"', '"Account"'),
    ("zoho", '"data"', '"records"'),
    ("espocrm", '"lastName"', '"last_name"'),
    ("espocrm", "lead.phone | e164", "'030 1'"),
    ("twenty", '"primaryEmail"', '"email"'),
    ("twenty", '"message"', '"text"'),
    ("sheet", "| tojson", "| join"),
    ("mattermost", '"text"', '"body"'),
    ("make", '"id"', '"key"'),
]


@asynccontextmanager
async def _running(
    name: str,
    folder: Path,
    old: str = "",
    new: str = "",
    authorization: str = crm.ZOHO_TOKEN,
    **variables: str,
) -> AsyncIterator[tuple[ResolvedDestination, Stub]]:
    """Run the stub of a recipe. Yields the recipe as a destination, with `old` in its text replaced."""
    recipe = RECIPES[name]
    file = folder / "zoho-authorization"
    file.write_text(f"Zoho-oauthtoken {authorization}")
    async with running_stub(recipe.contract) as stub:
        table = table_for_stub(name, recipe, stub.url, file)
        assert old in table
        sites = parse_sites(("[sites.default]\n" + table.replace(old, new)).encode())
        yield resolve_destinations(sites, {**recipe.variables, **variables})[name], stub


def _request(destination: ResolvedDestination, sent: LeadReceived) -> Request:
    body = LeadEvent.received(sent, "Studio Nord").model_dump_json()
    request = build_request(
        destination, str(sent.event_id), body, datetime.now(UTC), "https://f.example/admin"
    )
    assert request
    return request


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def send() -> AsyncIterator[Send]:
    """The service's client, which reads the certificates of this machine once."""
    async with open_client(15) as client:
        yield lambda request: client.send(request, datetime.now(UTC))


async def test_each_recipe_of_the_page_is_run() -> None:
    assert set(TABLES) == set(RECIPES)
    assert {name for name, _, _ in MISTAKES} | {"slack", "teams", "discord", "n8n", "zapier"} == set(RECIPES)


@pytest.mark.parametrize("which", LEADS)
@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_delivers_a_lead(name: str, which: str, tmp_path: Path, send: Send) -> None:
    sent = LEADS[which]
    async with _running(name, tmp_path) as (destination, stub):
        outcome = await send(_request(destination, sent))
    assert (outcome.result, outcome.reason) == (Result.DELIVERED, None), outcome.response
    (accepted,) = stub.accepted
    # Chats get escaped Markdown.
    assert str(sent.email) in json.dumps(accepted).replace("\\", "")


@pytest.mark.parametrize(("name", "old", "new"), MISTAKES)
async def test_a_recipe_with_a_mistake_is_refused(
    name: str, old: str, new: str, tmp_path: Path, send: Send
) -> None:
    async with _running(name, tmp_path, old, new) as (destination, stub):
        outcome = await send(_request(destination, LEADS["whole"]))
    assert not stub.accepted
    if not RECIPES[name].silent:
        assert outcome.result == Result.FAILED


@pytest.mark.parametrize("name", RECIPES)
async def test_a_service_refuses_another_path_type_and_body(name: str, tmp_path: Path, send: Send) -> None:
    async with _running(name, tmp_path) as (destination, stub):
        request = _request(destination, LEADS["whole"])
        path, mark, query = request.url.partition("?")
        outcomes = [
            await send(replace(request, url=f"{path}x{mark}{query}")),
            await send(replace(request, body=b"{}")),
        ]
        if name not in ("sheet", "n8n", "zapier"):  # these run a script on what comes
            headers = {**request.headers, "Content-Type": "text/plain"}
            outcomes.append(await send(replace(request, headers=headers)))
    assert not stub.accepted
    if not RECIPES[name].silent:
        assert {outcome.result for outcome in outcomes} <= {Result.FAILED, Result.GONE}


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("hubspot-form", {"HUBSPOT_AUTHORIZATION": "Bearer other"}),
        ("hubspot-contact", {"HUBSPOT_AUTHORIZATION": "Bearer other"}),
        ("pipedrive", {"PIPEDRIVE_TOKEN": "other"}),
        ("zoho", {"authorization": "expired"}),
        ("twenty", {"TWENTY_AUTHORIZATION": "Bearer other"}),
        ("make", {"MAKE_KEY": "other"}),
    ],
)
async def test_a_service_answers_401_to_another_key(
    name: str, variables: dict[str, str], tmp_path: Path, send: Send
) -> None:
    async with _running(name, tmp_path, **variables) as (destination, stub):
        outcome = await send(_request(destination, LEADS["whole"]))
    assert (outcome.status_code, stub.accepted) == (401, [])


@pytest.mark.parametrize("name", ["n8n", "zapier"])
async def test_a_script_refuses_a_forged_or_old_event(name: str, tmp_path: Path, send: Send) -> None:
    async with _running(name, tmp_path) as (destination, stub):
        request = _request(destination, LEADS["whole"])
        for header, value in (
            ("webhook-signature", "v1,AAAA"), ("webhook-signature", ""), ("webhook-id", "other"),
            ("webhook-timestamp", "1700000000"),
        ):  # fmt: skip
            await send(replace(request, headers={**request.headers, header: value}))
        event = LeadEvent.received(LEADS["whole"], "Studio Nord").model_dump_json()
        for year in (2024, 2099):  # with a valid signature
            signed = build_request(destination, "evt-1", event, datetime(year, 1, 1, tzinfo=UTC), "")
            assert signed
            await send(signed)
        assert not stub.accepted
        await send(request)
    assert [each["type"] for each in stub.accepted] == ["lead.received"]


async def test_the_sheet_stores_an_event_once_and_no_formula(tmp_path: Path, send: Send) -> None:
    RECIPES["sheet"] = recipes()["sheet"]  # an empty sheet
    async with _running("sheet", tmp_path) as (destination, stub):
        for which in ("hostile", "hostile", "whole"):
            outcome = await send(_request(destination, LEADS[which]))
            assert outcome.result == Result.DELIVERED
        hostile, whole = stub.accepted
        wrong = replace(_request(destination, lead()), url=destination.url + "x")
        assert (await send(wrong)).reason == "destination answered 200 without the text of expect"
    assert hostile[0] == str(LEADS["hostile"].event_id)
    assert hostile[-1] == LEADS["hostile"].message
    assert whole[5] == "+44 (0)20 7946 0000"
    assert hostile[6] == "=HYPERLINK(1)"
    assert all(isinstance(cell, str) for cell in hostile + whole), "a formula"


async def test_a_visitor_mentions_nobody_in_mattermost(tmp_path: Path, send: Send) -> None:
    async with _running("mattermost", tmp_path) as (destination, stub):
        await send(_request(destination, LEADS["hostile"]))
    (message,) = stub.accepted
    before, inside, after = message["text"].split("```")
    assert "@" not in before + after
    assert "@channel" in inside


async def test_names_phones_and_forms_are_as_the_services_take_them(tmp_path: Path, send: Send) -> None:
    found: dict[str, Any] = {}
    for name in ("espocrm", "twenty", "salesforce", "pipedrive"):
        async with _running(name, tmp_path) as (destination, stub):
            await send(_request(destination, LEADS["whole"]))
            (found[name],) = stub.accepted
    assert (
        found["espocrm"]["phoneNumber"] == found["twenty"]["phones"]["primaryPhoneNumber"] == "+442079460000"
    )
    assert found["twenty"]["name"] == {"firstName": "Ada", "lastName": "Lovelace"}
    assert (found["salesforce"]["first_name"], found["salesforce"]["company"]) == ("Ada", "Engines Ltd")
    assert found["pipedrive"]["custom_fields"] == {"MESSAGE_KEY": LEADS["whole"].message}


async def test_the_script_for_zoho_writes_a_token_or_nothing(tmp_path: Path) -> None:
    (script,) = blocks("sh")
    file = tmp_path / "zoho-authorization"
    async with running_stub(crm.zoho) as stub:
        program = script.replace("https://accounts.zoho.com", stub.url).replace(ZOHO_FILE, str(file))
        for token, written in (("wrong", None), ("the-refresh-token", f"Zoho-oauthtoken {crm.ZOHO_TOKEN}")):
            variables = {"ZOHO_CLIENT_ID": "1", "ZOHO_CLIENT_SECRET": "2", "ZOHO_REFRESH_TOKEN": token}
            await asyncio.to_thread(
                subprocess.run, ["sh", "-c", program], env={"PATH": "/usr/bin:/bin", **variables}, check=False
            )
            assert (file.read_text() if file.exists() else None) == written
    assert oct(file.stat().st_mode)[-3:] == "600"
