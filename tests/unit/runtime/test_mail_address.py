"""Parsing addresses: the fast path agrees with email-validator."""

import pytest
from aiosmtplib.email import quote_address
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.mail_address import Address, parse_address


@given(
    st.one_of(
        st.emails(), st.from_regex(r"[a-z0-9_.+-]{1,12}@[a-z0-9.-]{1,60}\n?", fullmatch=True), st.text()
    )
)
@example("a@b.test")
@example("a@xn--b.example")
@example(f"a@{'b' * 64}.example")
@example(f"a@{'b.' * 120}cc")
@example("a@example.com\n")
def test_parse_address_agrees_with_email_validator(value: str) -> None:
    domain = value.strip().rpartition("@")[2]
    special = any(f".{domain.lower()}".endswith(f".{each}") for each in SPECIAL_USE_DOMAIN_NAMES)
    try:
        parsed = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        expected = None
    else:
        expected = Address(parsed.local_part, parsed.ascii_domain, parsed.smtputf8)
    # The mail server decides about special-use names.
    if not special:
        assert parse_address(value) == (None if "=?" in value else expected)


@pytest.mark.parametrize("domain", ["fast.local", "fast.internal", "fast.test", "mailhost", "localhost"])
def test_regression_a_domain_of_the_local_network_is_valid(domain: str) -> None:
    assert parse_address(f"leads@{domain}") == Address("leads", domain, smtputf8=False)


@pytest.mark.parametrize("value", ["leads@", "leads@fast..local", "@fast.local", "a b@fast.local"])
def test_parse_address_returns_none_for_invalid_input(value: str) -> None:
    assert parse_address(value) is None


@given(st.one_of(st.emails(), st.text(), st.from_regex(r"[!-~]{1,20}@[a-z.]{1,20}", fullmatch=True)))
@example("o'brien+leads@fast.example")
@example("ädä@exämple.de")
def test_aiosmtplib_sends_every_parsed_address_unchanged(value: str) -> None:
    if address := parse_address(value):
        assert quote_address(address.spec) == f"<{address.spec}>"
