"""The setting `dkim` of a site: the key that signs the site's mails."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from runtime.sites.destinations import SecretReference

_SELECTOR: Final = re.compile(
    r"(?!.*--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def check_selector(value: str) -> str:
    """Return the selector in lower case. Raises `ValueError` if the value is no DKIM selector."""
    selector = value.lower()
    if len(selector) > 100 or not _SELECTOR.fullmatch(selector):
        raise ValueError("must be letters, digits and dashes, such as fastcore1")
    return selector


def check_domain(value: str) -> str:
    """Return the domain in lower case. Raises `ValueError` if the value is no domain."""
    domain = value.lower().rstrip(".")
    if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        raise ValueError("must be a domain in ASCII, such as studio.example")
    return domain


class Dkim(BaseModel):
    """The DKIM key of a site's mails.

    Without `domain`, the domain of the sender's address applies. `key` refers to the private key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: Annotated[str, AfterValidator(check_selector)]
    key: SecretReference
    domain: Annotated[str, AfterValidator(check_domain)] | None = None
