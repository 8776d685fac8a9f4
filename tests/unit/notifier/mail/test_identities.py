"""Whose name and address the mails of a site have, and who gets its alerts."""

from runtime.sites.file import parse_sites
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity

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
    assert identities.admins == {"boss@agency.example", "a@studio.example", "b@studio.example"}


def test_a_new_version_of_the_file_replaces_the_old() -> None:
    identities = Identities(DEFAULT, SITES)
    identities.apply(parse_sites(b"[sites.named]\nname = 'New'"))
    assert identities.of("studio") == DEFAULT
    assert identities.of("named").sender_name == "New"
