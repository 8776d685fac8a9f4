"""Whose name and address the mails of a site have, and who gets its alerts."""

from datetime import UTC, datetime

import pytest

from runtime.sites.file import parse_sites
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity, compose
from tests.support.factories import lead

DEFAULT = Identity("hello@agency.example", "Agency", ("boss@agency.example",), "https://x.example/admin")
SITES = parse_sites(
    b"""
    [sites.studio]
    from = "Studio Nord <hello@studio.example>"
    alert_to = ["a@studio.example", "b@studio.example"]
    [sites.named]
    name = "Named"
    [sites.address]
    name = "By name"
    from = "post@address.example"
    [sites.rules]
    reply_to = "office@rules.example"
    [[sites.rules.alert_rules]]
    service = "Web  Design"
    locale = "de"
    to = ["web-de@rules.example"]
    [[sites.rules.alert_rules]]
    service = "Web Design"
    to = ["web@rules.example", "sales@rules.example"]
    [[sites.rules.alert_rules]]
    locale = "de-AT"
    to = ["at@rules.example"]
    """
)


def test_a_site_changes_only_what_its_keys_say() -> None:
    identities = Identities(DEFAULT, SITES)
    assert identities.of("studio") == Identity(
        "hello@studio.example",
        "Studio Nord",
        ("a@studio.example", "b@studio.example"),
        "https://x.example/admin",
    )
    named, address = identities.of("named"), identities.of("address")
    assert (named.sender_name, named.from_email) == ("Named", "hello@agency.example")
    assert (address.sender_name, address.from_email) == ("By name", "post@address.example")
    assert identities.of("other") == DEFAULT
    assert identities.admins == {
        "boss@agency.example",
        "a@studio.example",
        "b@studio.example",
        "web-de@rules.example",
        "web@rules.example",
        "sales@rules.example",
        "at@rules.example",
    }


@pytest.mark.parametrize(
    ("service", "locale", "expected"),
    [
        ("web design", "de-CH", ("web-de@rules.example",)),
        (" WEB  design", "DE", ("web-de@rules.example",)),
        ("Web design", "en", ("web@rules.example", "sales@rules.example")),
        ("Web design", None, ("web@rules.example", "sales@rules.example")),
        ("Hosting", "de_AT", ("at@rules.example",)),
        ("Hosting", "de", ("boss@agency.example",)),
        ("Hosting", "de-ATX", ("boss@agency.example",)),
        ("", None, ("boss@agency.example",)),
    ],
)
def test_the_first_rule_that_matches_a_lead_names_its_recipients(
    service: str, locale: str | None, expected: tuple[str, ...]
) -> None:
    identity = Identities(DEFAULT, SITES).of("rules")
    asking = lead(service=service, locale=locale)
    assert compose("admin_alert", asking, identity, datetime.now(UTC)).recipients == expected
    assert identity.reply_to == "office@rules.example"


async def test_a_new_version_of_the_file_replaces_the_old() -> None:
    identities = Identities(DEFAULT, SITES)
    await identities.apply(parse_sites(b"[sites.named]\nname = 'New'"))
    assert identities.of("studio") == DEFAULT
    assert identities.of("named").sender_name == "New"
