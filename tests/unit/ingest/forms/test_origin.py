"""The origin of a page, the page after a form, and the address of a visitor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.forms.origin import is_same_host, next_url, origin_of, page_origin, visitor_address

ORIGINS = frozenset({"https://studio.example"})


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Studio.example/page?a=b", "https://studio.example"),
        ("https://studio.example:443", "https://studio.example"),
        ("http://studio.example:8080/", "http://studio.example:8080"),
        ("http://[::1]:80/x", "http://[::1]"),
        ("https://user@studio.example/", "https://studio.example"),
        ("null", None),
        ("", None),
        ("file:///etc", None),
        ("javascript:alert(1)", None),
        ("https://[", None),
        ("https://studio.example:x/", None),
    ],
)
def test_origins_are_normalized(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


def test_the_origin_header_takes_precedence() -> None:
    assert page_origin("https://a.example", "https://b.example/x") == "https://a.example"
    assert page_origin("null", "https://b.example/x") == "https://b.example"
    assert page_origin(None, None) is None


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://leads.example", "leads.example", True),
        ("https://leads.example", "Leads.example:443", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("https://evil.example", "leads.example", False),
        ("https://leads.example", None, False),
    ],
)
def test_the_gateways_own_pages_are_recognized(origin: str, host: str | None, same: bool) -> None:
    assert is_same_host(origin, host) is same


@given(st.text(alphabet="htps:/\\@.studioexamplvr\t\n?#%", max_size=60))
def test_a_next_page_is_always_on_one_of_the_origins(wanted: str) -> None:
    url = next_url(wanted, "https://studio.example", ORIGINS)
    assert url is None or url == "https://studio.example" or url.startswith("https://studio.example/")


@pytest.mark.parametrize(
    ("client", "forwarded_for", "address"),
    [
        (("203.0.113.7", 5000), None, "203.0.113.7"),
        (("203.0.113.7", 0), "203.0.113.7", "203.0.113.7"),
        (("10.0.0.2", 5000), "203.0.113.7", None),
        (("10.0.0.2", 5000), None, "10.0.0.2"),
        (("198.51.99.1", 5000), "203.0.113.7", "198.51.99.1"),
        (("unix", 0), None, "unix"),
        (("unix", 1), "203.0.113.7", None),
        (None, None, None),
    ],
)
def test_a_proxy_that_is_not_trusted_is_no_visitor(
    client: tuple[str, int] | None, forwarded_for: str | None, address: str | None
) -> None:
    assert visitor_address({"client": client}, forwarded_for) == address


@pytest.mark.parametrize("wanted", ["https://[domain]/thanks", "http://[", "https://a\u2100b/"])
def test_regression_next_that_is_no_url_is_ignored(wanted: str) -> None:
    assert next_url(wanted, "https://studio.example", ORIGINS) is None
