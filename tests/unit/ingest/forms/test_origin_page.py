"""The page for a form that was sent from another origin: it shows what was typed, and no page can use it."""

import pytest

from services.ingest.forms.texts import TEXTS
from tests.support.services.gateway import Gateway
from tests.unit.ingest.forms.test_endpoint import FIELDS, PATH, submit
from tests.unit.ingest.forms.test_pages import fields_of

ELSEWHERE = "https://www2.studio.example"
REFERER = {"Origin": ELSEWHERE, "Referer": f"{ELSEWHERE}/contact"}


async def test_regression_what_was_typed_is_kept_and_the_visitor_can_send_it(gateway: Gateway) -> None:
    page = await submit(gateway, FIELDS | {"_next": "https://evil.example/"}, **REFERER)
    assert (page.status_code, gateway.leads.records) == (403, [])
    typed = fields_of(page.text)
    assert typed.items() >= FIELDS.items()
    own_page = {"Origin": "http://gateway", "Referer": f"http://gateway{PATH}"}
    answer = await submit(gateway, typed, **own_page)
    assert (answer.status_code, answer.headers["Location"]) == (303, "studio-4k7w9q2m/thanks")
    (lead,) = gateway.leads.leads
    assert (lead.email, lead.message) == (FIELDS["your-email"], FIELDS["Nachricht"])
    assert lead.source
    assert lead.source.page_url == REFERER["Referer"]  # the team sees where the form was


@pytest.mark.parametrize("name", ["<script>", "Nachricht"])
async def test_the_page_is_no_place_for_somebody_elses_markup(gateway: Gateway, name: str) -> None:
    evil = '"></textarea><script>alert(1)</script>\n'
    page = await submit(gateway, {name: evil, "x": evil.strip(), "_key": evil}, **REFERER)  # one is hidden
    assert "<script" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'; form-action 'self' https://studio.example" in policy
    assert "www2" not in policy


@pytest.mark.parametrize(
    ("headers", "note"),
    [
        ({"Origin": "http://localhost:5501"}, "http://localhost:5501 fehlt in den origins der Site"),
        ({"Origin": "null", "Referer": ""}, "Die Seite verbirgt ihren Ursprung."),
        ({"Origin": "https://{0.__class__}<b>.example"}, "https://{0.__class__}&lt;b&gt;.example fehlt"),
    ],
)
async def test_the_page_tells_the_websites_owner_what_to_do(
    gateway: Gateway, headers: dict[str, str], note: str
) -> None:
    assert note in (await submit(gateway, **headers)).text


async def test_a_body_that_cannot_be_read_gets_its_own_page(gateway: Gateway) -> None:
    page = await gateway.client.post(PATH, content=b"{", headers={"Accept": "text/html"} | REFERER)
    assert (page.status_code, TEXTS["de"].unreadable in page.text) == (400, True)


async def test_a_script_of_another_origin_gets_no_page(gateway: Gateway) -> None:
    answer = await submit(gateway, Accept="*/*", **REFERER)
    assert (answer.status_code, FIELDS["Nachricht"] in answer.text) == (403, False)
