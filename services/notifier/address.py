"""What an email address is on the wire. Pure: nothing is looked up."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from email_validator import EmailNotValidError, validate_email

# What email-validator takes and leaves as it is, and what most people have: 1 us instead of 60. The whole is
# no longer than a local part may be; no two hyphens, which begin an international domain; no capital.
_PLAIN: Final = re.compile(
    r"(?=.{1,64}$)([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@"
    r"((?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+(?!(?:arpa|invalid|local|localhost|onion|test)$)[a-z]{2,})"
)


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
    if plain := _PLAIN.fullmatch(value):
        return Address(plain[1], plain[2], smtputf8=False)
    # An encoded word is a legal local part, and decodes to anything, a line break included (cpython #121650).
    if "=?" in value:
        return None
    try:
        # Whether it can be reached is the mail server's to say: "ada@mailhost" is fine here.
        parsed = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    return Address(parsed.local_part, parsed.ascii_domain, parsed.smtputf8)
