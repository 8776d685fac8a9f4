"""After a login, only the dashboard's own pages open, with their filters."""

import pytest

from services.admin.dashboard.pages.login import own_url


@pytest.mark.parametrize(
    "url", ["/admin", "/admin/ui/leads?status=won&service=a+%26+b", "/admin/ui/leads?cursor=a.b"]
)
def test_own_pages_open_with_their_filters(url: str) -> None:
    assert own_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//evil.example/admin",
        "https://evil.example/admin",
        "/admin//evil.example",
        "/admin/../x",
        "/admin\\@evil.example",
        "/admin\r\nSet-Cookie: a=b",
        "/administrator",
        "/admin/login?next=/admin/login",
        "?x=/admin",
        "javascript:alert(1)",
    ],
)
def test_other_urls_open_the_overview(url: str) -> None:
    assert own_url(url) == "/admin"


def test_a_query_is_encoded_again() -> None:
    assert own_url("/admin/ui/leads?a=//evil.example/../&b") == "/admin/ui/leads?a=%2F%2Fevil.example%2F..%2F"
