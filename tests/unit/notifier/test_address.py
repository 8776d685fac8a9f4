"""What is read as an address, and that the quick way says what email-validator says."""

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier.mail.address import Address, parse_address


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
def test_a_common_address_is_read_as_email_validator_reads_it(value: str) -> None:
    domain = value.strip().rpartition("@")[2]
    special = any(f".{domain.lower()}".endswith(f".{each}") for each in SPECIAL_USE_DOMAIN_NAMES)
    try:
        parsed = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        expected = None
    else:
        expected = Address(parsed.local_part, parsed.ascii_domain, parsed.smtputf8)
    # Special names are the mail server's to refuse.
    if not special:
        assert parse_address(value) == (None if "=?" in value else expected)


@pytest.mark.parametrize("domain", ["fast.local", "fast.internal", "fast.test", "mailhost", "localhost"])
def test_regression_a_domain_of_the_own_network_is_an_address(domain: str) -> None:
    assert parse_address(f"leads@{domain}") == Address("leads", domain, smtputf8=False)


@pytest.mark.parametrize("value", ["leads@", "leads@fast..local", "@fast.local", "a b@fast.local"])
def test_what_is_no_address_stays_none(value: str) -> None:
    assert parse_address(value) is None
