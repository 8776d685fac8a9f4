"""Finds the DMARC policy and the organizational domain by the DNS tree walk of RFC 9989.

The walk needs no list of public suffixes. Receivers that still use such a list (RFC 7489) find another domain
only if a registry between the two domains has a DMARC record.
"""

from dataclasses import dataclass, field
from typing import Final

from deploy.cli.doctor.mail_dns.resolver import Resolver
from deploy.cli.doctor.mail_dns.tags import parse_tags

_LABELS_MAX: Final = 8
POLICIES: Final = ("none", "quarantine", "reject")


@dataclass(frozen=True)
class Dmarc:
    """The DMARC record that applies to a domain.

    `found_at` is the domain of the record, or empty. `policy` is the value of `p`, or of `sp` for a
    subdomain. `mistake` says why receivers ignore the record.
    """

    domain: str
    organization: str
    found_at: str = ""
    policy: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    mistake: str = ""

    @property
    def strict_dkim(self) -> bool:
        """Return True if the domain of a signature must equal the domain of From."""
        return self.tags.get("adkim", "r").lower() == "s"

    @property
    def enforces(self) -> bool:
        """Return True if receivers quarantine or reject mails that do not pass."""
        return self.policy in ("quarantine", "reject")


async def read_dmarc(resolver: Resolver, domain: str) -> Dmarc:
    """Return the DMARC policy of a domain and its organizational domain. Raises `DnsError`."""
    found: dict[str, dict[str, str]] = {}
    for each in _walk(domain):
        records = [
            value
            for value in (await resolver.txt(f"_dmarc.{each}")).values
            if value.split(";")[0].replace(" ", "") == "v=DMARC1"
        ]
        if len(records) > 1 and each == domain:
            mistake = f"{len(records)} DMARC records at _dmarc.{each}, but only one may exist"
            return Dmarc(domain, domain, found_at=each, mistake=mistake)
        if len(records) == 1:
            found[each] = parse_tags(records[0])
            if found[each].get("psd", "u").lower() in ("n", "y"):
                break
    organization = _organization(domain, found)
    at = domain if domain in found else organization if organization in found else ""
    if not at:
        return Dmarc(domain, organization)
    tags = found[at]
    policy = tags.get("p", "none").lower()
    if at != domain:
        policy = tags.get("sp", policy).lower()
    mistake = "" if policy in POLICIES else f"the policy {policy[:20]!r} is not none, quarantine or reject"
    return Dmarc(domain, organization, at, policy, tags, mistake)


def _walk(domain: str) -> list[str]:
    """Return the domain and its parents. The parents have at most seven labels."""
    labels = domain.split(".")
    first = 1 if len(labels) <= _LABELS_MAX else len(labels) - (_LABELS_MAX - 1)
    return [domain, *(".".join(labels[number:]) for number in range(first, len(labels)))]


def _organization(domain: str, found: dict[str, dict[str, str]]) -> str:
    """Return the organizational domain. `found` are the records of the walk, the longest name first."""
    for each, tags in found.items():
        psd = tags.get("psd", "u").lower()
        if psd == "n":
            return each
        if psd == "y" and each != domain:  # the domain one label below that of a registry
            labels = domain.split(".")
            return ".".join(labels[-len(each.split(".")) - 1 :])
    return list(found)[-1] if found else domain
