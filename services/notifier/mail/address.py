"""What an email address is on the wire. Pure: nothing is looked up."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from email_validator import EmailNotValidError, validate_email

from contracts.email import is_plain

_STAND_IN: Final = ".example"


@dataclass(frozen=True)
class Address:
    """An address that can stand in an envelope and in a header: its domain is ASCII (IDNA)."""

    local: str
    domain: str
    smtputf8: bool

    @property
    def spec(self) -> str:
        """Return the whole address."""
        return f"{self.local}@{self.domain}"


# The admins' for each alert, and a lead's once for its two mails.
@lru_cache(maxsize=64)
def parse_address(value: str) -> Address | None:
    """Read one address; None where it is not one that we would write into a header."""
    if is_plain(value):  # 1 us instead of 60
        local, _, domain = value.partition("@")
        return Address(local, domain, smtputf8=False)
    # An encoded word is a legal local part, and decodes to anything, a line break included (cpython #121650).
    if "=?" in value:
        return None
    try:
        # Whether it can be reached is the mail server's to say: "ada@mailhost" and "ada@fast.local" are fine.
        # email-validator refuses special-use names (RFC 6761), so it reads the domain with one behind it.
        parsed = validate_email(
            value.strip() + _STAND_IN, check_deliverability=False, globally_deliverable=False
        )
    except EmailNotValidError:
        return None
    return Address(parsed.local_part, parsed.ascii_domain.removesuffix(_STAND_IN), parsed.smtputf8)
