"""The destinations that the service uses now, and how a new version of the file replaces them."""

import base64

import pytest

from contracts.lead_events import ERASED, RECEIVED
from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.model import Sites
from services.webhooks.destinations import Destinations

VARIABLES = {"KEY": "whsec_" + base64.b64encode(b"k" * 32).decode()}
CRM = '[[destinations]]\nname = "crm"\nkind = "webhook"\nurl = "https://a.example/"\nsecret = "env:KEY"\n'
SHOP = '[[destinations]]\nname = "shop"\nkind = "slack"\nurl = "https://b.example/"\nsites = ["shop"]\n'
HTTP = '[[destinations]]\nname = "api"\nkind = "http"\nurl = "https://c.example/"\n'


def sites_of(*tables: str) -> Sites:
    return parse_sites("".join(("[sites.shop]\n[sites.blog]\n", *tables)).encode())


def test_a_lead_goes_to_the_destinations_of_its_site() -> None:
    destinations = Destinations(sites_of(CRM, SHOP), VARIABLES)
    assert destinations.receiving("shop", RECEIVED) == ("crm", "shop")
    assert destinations.receiving("blog", RECEIVED) == ("crm",)
    assert destinations.receiving("unknown", RECEIVED) == ("crm",)
    assert destinations.receiving("shop", ERASED) == ()


async def test_a_new_version_replaces_them_and_wakes_the_sender() -> None:
    destinations = Destinations(sites_of(CRM), VARIABLES)
    destinations.wake.clear()
    await destinations.apply(sites_of(SHOP))
    assert set(destinations.by_name) == {"shop"}
    assert destinations.wake.is_set()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (HTTP + "body = '{{ lead.name'\n", r"^destinations\.api\.body: is no Jinja template"),
        (HTTP + "body = 'x'\nerased_body = '{% if %}'\n", r"^destinations\.api\.erased_body: is no Jinja"),
        (CRM.replace("env:KEY", "env:ABSENT"), r"^destinations\.crm\.secret: the variable ABSENT is not set"),
    ],
)
async def test_a_version_with_a_mistake_changes_nothing(table: str, message: str) -> None:
    destinations = Destinations(sites_of(SHOP), VARIABLES)
    before = (destinations.sites, destinations.by_name)
    destinations.wake.clear()
    with pytest.raises(SitesFileError, match=message):
        await destinations.apply(sites_of(table))
    assert (destinations.sites, destinations.by_name) == before
    assert not destinations.wake.is_set()
    with pytest.raises(SitesFileError, match=message):
        Destinations(sites_of(table), VARIABLES)
