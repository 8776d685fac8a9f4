"""What is read as an address, and that the quick way says what email-validator says."""

from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier.address import Address, parse_address


@given(
    st.one_of(
        st.emails(), st.from_regex(r"[a-z0-9_.+-]{1,12}@[a-z0-9.-]{1,60}\n?", fullmatch=True), st.text()
    )
)
@example("a@b.test")
@example("a@xn--b.example")
@example(f"a@{'b' * 64}.example")
@example("a@example.com\n")
def test_a_common_address_is_read_as_email_validator_reads_it(value: str) -> None:
    try:
        parsed = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        expected = None
    else:
        expected = Address(parsed.local_part, parsed.ascii_domain, parsed.smtputf8)
    assert parse_address(value) == (None if "=?" in value else expected)
