"""Destinations in the sites file: what they may hold, and how each mistake is reported."""

import pytest

from contracts.lead_events import ALERT_FAILED, ERASED, RECEIVED
from runtime.sites.destinations import Destination, check_url, is_reference
from runtime.sites.file import SitesFileError, parse_sites

SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0zMi1ieXRlcw=="
WEBHOOK = {"kind": "'webhook'", "url": "'https://crm.example.com/hook'", "secret": "'env:KEY'"}
HTTP = {"kind": "'http'", "url": "'https://api.example.com/'", "body": "'{}'"}
CHAT = {"kind": "'slack'", "url": "'env:SLACK_URL'"}


def parse(fields: dict[str, str], **changes: str | None) -> dict[str, Destination]:
    """Return the destinations of a file with one destination x. A change to None leaves a key out."""
    named = {"name": "'x'"} | fields | changes
    lines = [f"{key} = {value}" for key, value in named.items() if value is not None]
    text = "\n".join(["[sites.shop]", "[[destinations]]", *lines])
    return dict(parse_sites(text.encode()).destinations)


def mistake(fields: dict[str, str], **changes: str | None) -> str:
    with pytest.raises(SitesFileError) as raised:
        parse(fields, **changes)
    return str(raised.value)


def test_a_destination_has_defaults_for_all_but_its_url() -> None:
    made = parse(WEBHOOK)["x"]
    assert made.secret == ("env:KEY",)
    assert (made.sites, made.events, made.allow_private, made.trace) == ((), (RECEIVED,), False, False)
    assert parse(WEBHOOK, secret="['env:NEW', 'file:/run/old']")["x"].secret == ("env:NEW", "file:/run/old")
    assert parse(CHAT)["x"].url == "env:SLACK_URL"
    assert parse(HTTP, headers="{ Authorization = 'env:A' }", method="'PUT'")["x"].method == "PUT"


@pytest.mark.parametrize("kind", ["slack", "teams", "discord"])
def test_a_chat_gets_failed_notifications_unless_it_lists_its_events(kind: str) -> None:
    assert parse(CHAT, kind=f"'{kind}'")["x"].events == (RECEIVED, ALERT_FAILED)
    assert parse(CHAT, kind=f"'{kind}'", events="['lead.received']")["x"].events == (RECEIVED,)
    assert parse(HTTP)["x"].events == (RECEIVED,)


def test_it_wants_the_events_of_its_sites() -> None:
    every = parse(CHAT)["x"]
    assert every.receives("any", RECEIVED)
    assert not every.receives("any", ERASED)
    shop = parse(CHAT, sites="['shop']", events="['lead.received', 'lead.erased']")["x"]
    assert shop.receives("shop", ERASED)
    assert not shop.receives("blog", RECEIVED)


REFERENCE = "must be env:VARIABLE or file:/PATH; the file never holds a secret itself"
URL = "must be a URL such as https://crm.example.com/hook, without a login"
NAME = "must be 1 to 50 small letters, digits or dashes, and begin with no dash"
HEADER = "must be the name of a header that FASTCore does not set itself"
MISTAKES: list[tuple[dict[str, str], dict[str, str | None], str]] = [
    (WEBHOOK, {"name": None}, "destinations (table 1).name: is missing"),
    (WEBHOOK, {"name": "'Big Name'"}, f"destinations (table 1).name: {NAME}"),
    (WEBHOOK, {"name": "'-x'"}, f"destinations (table 1).name: {NAME}"),
    (WEBHOOK, {"name": f"'{'x' * 51}'"}, f"destinations (table 1).name: {NAME}"),
    (WEBHOOK, {"kind": None}, "destinations.x.kind: is missing"),
    (WEBHOOK, {"kind": "'hook'"}, "destinations.x.kind: must be 'webhook', 'slack', 'teams'"),
    (WEBHOOK, {"url": None}, "destinations.x.url: is missing"),
    (WEBHOOK, {"secret": None}, "destinations.x: needs a secret, with which it signs its requests"),
    (WEBHOOK, {"secret": f"'{SECRET}'"}, f"destinations.x.secret: value 1 {REFERENCE}"),
    (WEBHOOK, {"secret": f"['env:A', '{SECRET}']"}, f"destinations.x.secret: value 2 {REFERENCE}"),
    (WEBHOOK, {"secret": "['env:A', 'env:B', 'env:C']"}, "destinations.x.secret: has too many values"),
    (WEBHOOK, {"secret": "1"}, 'destinations.x.secret: must be a list, such as ["a", "b"]'),
    (WEBHOOK, {"secrets": "'env:A'"}, "destinations.x.secrets: is not a known key (did you mean secret?)"),
    (
        WEBHOOK,
        {"zzz": "1"},
        "destinations.x.zzz: is not a known key; docs/sites.md and docs/destinations.md have them",
    ),
    (WEBHOOK, {"sites": "['absent']"}, "destinations.x.sites: the file has no site absent; add"),
    (WEBHOOK, {"events": "['lead.won']"}, "destinations.x.events: value 1 must be 'lead.received', "),
    (WEBHOOK, {"allow_private": "'perhaps'"}, "destinations.x.allow_private: must be true or false"),
    (CHAT, {"trace": "'yes'"}, "destinations.x.trace: must be true or false"),
    (CHAT, {"expect": "'ok'"}, "destinations.x: has expect, which only the kind http has"),
    (HTTP, {"expect": "'" + "x" * 201 + "'"}, "destinations.x.expect: is too long"),
    (HTTP, {"headers": "{ Traceparent = 'x' }"}, f"destinations.x.headers: the key Traceparent {HEADER}"),
    (WEBHOOK, {"method": "'PUT'"}, "destinations.x: has method, which only the kind http has"),
    (WEBHOOK, {"body": "'x'", "headers": "{}"}, "destinations.x: has body, headers, which only"),
    (CHAT, {"secret": "'env:KEY'"}, "destinations.x: must not have a secret: only the kind webhook"),
    (HTTP, {"body": None}, "destinations.x: needs a body, which is a Jinja template"),
    (HTTP, {"body": "'" + "x" * 20_001 + "'"}, "destinations.x.body: is too long"),
    (HTTP, {"method": "'GET'"}, "destinations.x.method: must be 'POST', 'PUT' or 'PATCH'"),
    (HTTP, {"headers": "'x'"}, "destinations.x.headers: must be a table"),
    (HTTP, {"headers": "{ Host = 'x' }"}, f"destinations.x.headers: the key Host {HEADER}"),
    (HTTP, {"headers": "{ content-type = 'x' }"}, f"destinations.x.headers: the key content-type {HEADER}"),
    (HTTP, {"headers": '{ A = "x\\r\\nB: y" }'}, "destinations.x.headers.A: must be printable ASCII"),
    (HTTP, {"headers": "{ A = 'ä' }"}, "destinations.x.headers.A: must be printable ASCII"),
    (HTTP, {"content_type": '"a\\nb"'}, "destinations.x.content_type: must be printable ASCII"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "changes", "message"), MISTAKES)
def test_a_mistake_names_the_key_and_the_reason_but_no_value(
    fields: dict[str, str], changes: dict[str, str | None], message: str
) -> None:
    reported = mistake(fields, **changes)
    assert reported.startswith(message)
    assert SECRET not in reported
    assert "\n" not in reported


@pytest.mark.parametrize(
    "url",
    [
        "", "crm.example.com", "ftp://a.example/", "https://", "https:///x",
        "javascript:alert(1)",
        "https://user:s3cret@a.example/", "https://s3cret@a.example/", "https://a.example:0/",
        "https://a.example:x/",
        "https://a.example:99999/", "https://a.example/ s3cret", "https://[::1/",
        "https://ä.example/", "env:", "env:A-B", "file:relative",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_called_is_a_mistake(url: str) -> None:
    reported = mistake(WEBHOOK, url=f"'{url}'")
    assert reported == f"destinations.x.url: {URL}"
    with pytest.raises(ValueError, match="must be a URL"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://a.example/x?key=%20", "http://127.0.0.1:8080/", "https://[2001:db8::1]/"]
)
def test_an_absolute_url_is_right(url: str) -> None:
    assert check_url(url) == url
    assert not is_reference(url)


def test_two_destinations_cannot_have_one_name() -> None:
    one = "[[destinations]]\nname = 'x'\nkind = 'slack'\nurl = 'env:A'"
    with pytest.raises(SitesFileError, match=r"^destinations\.x: two destinations have this name$"):
        parse_sites(f"[sites.shop]\n{one}\n{one}".encode())


@pytest.mark.parametrize("text", ["destinations = 1\n[sites.x]", "[sites.x]\n[destinations]\nname = 'x'"])
def test_destinations_are_tables_in_a_list(text: str) -> None:
    with pytest.raises(SitesFileError, match=r"destinations: must be tables, each under \[\["):
        parse_sites(text.encode())


def test_all_mistakes_are_reported_at_once() -> None:
    text = "[sites.x]\nlocale = 1\n[[destinations]]\nname = 'a'\n[[destinations]]\nname = 'b'\n"
    with pytest.raises(SitesFileError) as raised:
        parse_sites(text.encode())
    reported = str(raised.value)
    for each in ("sites.x.locale: ", "destinations.a.kind: is missing", "destinations.b.url: is missing"):
        assert each in reported
