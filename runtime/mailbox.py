"""Names the mailbox of an email address: all spellings of one mailbox have one key. No I/O."""

import unicodedata
from typing import Final

from runtime.mail_address import parse_address

# Gmail ignores dots in the local part, and treats its two domains as one.
_GMAIL: Final = frozenset({"gmail.com", "googlemail.com"})


def mailbox_key(email: str) -> str:
    """Return a key that is equal for all spellings of one mailbox.

    Case and +tags are ignored. The key's domain is in ASCII.
    """
    local, _, domain = unicodedata.normalize("NFKC", email).strip().casefold().rpartition("@")
    if address := parse_address(f"a@{domain}"):
        domain = address.domain.lower()
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", "") or local, "gmail.com"
    return f"{local}@{domain}"
