"""Links to email and to call: RFC 6068 and RFC 3966."""

from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.contact_urls import MAILTO_MAX, mailto_url_with, tel_url


@pytest.mark.parametrize(
    ("phone", "url"),
    [
        ("+44 (0)20 7946-0958", "tel:+442079460958"),
        ("0044 20 7946 0958", "tel:+442079460958"),
        ("020 7946 0958", "tel:02079460958"),
        ("030/123.45.67", "tel:0301234567"),
        ("+1 212 555 0100 ext. 42", "tel:+12125550100;ext=42"),
        ("212-555-0100 x7", "tel:2125550100;ext=7"),
        ("tel:+12125550100;ext=42", "tel:+12125550100;ext=42"),
        ("٠٢٠ ٧٩٤٦ ٠٩٥٨", "tel:02079460958"),
        ("call me after two", None),
        ("0800 FLOWERS", None),
        ("12", None),
        ("020 7946 0958 / 020 7946 0959", None),
        ("020 7946 0958;phone-context=evil", None),
        ("-" * 200, None),
    ],
)
def test_a_phone_number_is_dialled_as_it_was_meant(phone: str, url: str | None) -> None:
    assert tel_url(phone) == url


def test_a_subject_and_a_body_are_shortened_to_the_length_of_a_link() -> None:
    url = mailto_url_with("ada@example.com", "é\r\n" * 500, "👩\n" * 5000)
    assert len(url) <= MAILTO_MAX
    query = parse_qs(urlsplit(url).query)
    assert query["subject"][0].endswith(" […]")
    assert query["body"][0].endswith(" […]")
    assert "%0" not in url.partition("&body=")[0]
