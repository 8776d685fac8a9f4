"""Reads the SPF record of a domain with all records that it includes (RFC 7208), and counts the lookups."""

import re
from dataclasses import dataclass, field
from typing import Final

from deploy.cli.doctor.mail_dns.resolver import Resolver

LOOKUPS_MAX: Final = 10
"""More lookups make the result `permerror` (RFC 7208, 4.6.4)."""
VOID_LOOKUPS_MAX: Final = 2
"""The same holds for lookups that find nothing."""
# A record with more lookups than this is not followed further.
_FOLLOWED_MAX: Final = 2 * LOOKUPS_MAX
_TERM: Final = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>all|include|a|mx|ptr|ip4|ip6|exists)(?P<value>[:/].*)?", re.IGNORECASE
)
_MODIFIER: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.-]*)=(?P<value>.*)")


@dataclass
class Spf:
    """What the SPF record of a domain says.

    `ending` is the qualifier and `all`, such as `-all`, or empty. `included` are the domains of all records
    that were read. `mistakes` are reasons for which a receiver stops with `permerror`.
    """

    record: str = ""
    lookups: int = 0
    void_lookups: int = 0
    ending: str = ""
    included: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)

    @property
    def rejects_others(self) -> bool:
        """Return True if the record ends with `-all` or `~all`."""
        return self.ending in ("-all", "~all")


async def read_spf(resolver: Resolver, domain: str) -> Spf:
    """Return the SPF record of the domain, evaluated. Without one, `record` is empty. Raises `DnsError`."""
    spf = Spf()
    records = await _records(resolver, domain)
    if len(records) > 1:
        spf.record = records[0]
        spf.mistakes.append(f"{len(records)} SPF records, but only one may exist")
    elif records:
        spf.record = records[0]
        spf.ending = await _Evaluation(resolver, spf).follow(domain, records[0], ())
    if spf.lookups > LOOKUPS_MAX:
        many = f"more than {_FOLLOWED_MAX}" if spf.lookups > _FOLLOWED_MAX else str(spf.lookups)
        spf.mistakes.append(f"{many} DNS lookups, but at most {LOOKUPS_MAX} are allowed")
    elif spf.void_lookups > VOID_LOOKUPS_MAX:
        spf.mistakes.append(f"{spf.void_lookups} lookups find nothing, more than {VOID_LOOKUPS_MAX}")
    return spf


async def _records(resolver: Resolver, domain: str) -> list[str]:
    answer = await resolver.txt(domain)
    return [each for each in answer.values if each.lower().split(" ", 1)[0] == "v=spf1"]


class _Evaluation:
    """Follows a record and those that it names, and adds what it finds to the result."""

    def __init__(self, resolver: Resolver, spf: Spf) -> None:
        self._resolver, self._spf = resolver, spf

    async def follow(self, domain: str, record: str, path: tuple[str, ...]) -> str:
        """Evaluate an SPF record. Return its `all` term (such as `-all`), or an empty text if it has none.

        A `redirect` is followed to the `all` term of its target. `path` are the domains whose records led to
        this one, to find loops.
        """
        path, redirect, ending = (*path, domain), "", ""
        for term in record.split()[1:]:
            if ending:  # what follows `all` is ignored, and so is `redirect` (RFC 7208, 5.1 and 6.1)
                break
            if match := _TERM.fullmatch(term):
                if match["name"].lower() == "all":
                    ending = f"{match['qualifier'] or '+'}all"
                else:
                    await self._mechanism(match["name"].lower(), match["value"] or "", path)
            elif modifier := _MODIFIER.fullmatch(term):
                redirect = modifier["value"] if modifier["name"].lower() == "redirect" else redirect
            else:
                self._spf.mistakes.append(f"the term {term[:60]!r} of {domain} is not known")
        if redirect and not any(_is_all(term) for term in record.split()[1:]):
            return await self._include("redirect", redirect, path)
        return ending

    async def _mechanism(self, name: str, value: str, path: tuple[str, ...]) -> None:
        if name in ("ip4", "ip6"):
            return
        target = value.removeprefix(":").split("/", 1)[0] or path[-1]
        if name == "include":
            await self._include(name, target, path)
            return
        self._spf.lookups += 1
        if self._spf.lookups > _FOLLOWED_MAX or "%" in target or name not in ("a", "mx"):
            return  # the answer depends on the sender, or does not matter any more
        kinds = ("MX",) if name == "mx" else ("A", "AAAA")
        answers = [await self._resolver.find(target, kind) for kind in kinds]  # type: ignore[arg-type]
        self._spf.void_lookups += not any(answer.values for answer in answers)

    async def _include(self, name: str, target: str, path: tuple[str, ...]) -> str:
        spf, domain = self._spf, target.lower().rstrip(".")
        spf.lookups += 1
        if spf.lookups > _FOLLOWED_MAX or "%" in domain:
            return ""
        spf.included.add(domain)
        if domain in path:
            spf.mistakes.append(f"{name} of {domain} is a loop")
            return ""
        records = await _records(self._resolver, domain)
        if not records:
            spf.void_lookups += 1
        if len(records) != 1:
            count = f"{len(records)} SPF records" if records else "no SPF record"
            spf.mistakes.append(f"{name} of {domain}, which has {count}")
            return ""
        return await self.follow(domain, records[0], path)


def _is_all(term: str) -> bool:
    match = _TERM.fullmatch(term)
    return match is not None and match["name"].lower() == "all"
