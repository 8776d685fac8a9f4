"""Queries DNS for the doctor. Every query has a time limit."""

from dataclasses import dataclass
from typing import Final, Literal, Self

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

TRY_SECONDS: Final = 2.0
"""The time for one try at one name server."""
QUERY_SECONDS: Final = 6.0
"""The time for all tries of one query."""
# RFC 9715: larger answers may be fragmented, so they are requested again over TCP.
_EDNS_BYTES: Final = 1232


class DnsError(Exception):
    """DNS did not answer, or answered with an error. This says nothing about the name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class Answer:
    """The records of one type under one name. `exists` is False if the name itself does not exist."""

    exists: bool
    values: tuple[str, ...] = ()


class Resolver:
    """Queries the name servers of this machine, or those that are given."""

    def __init__(self, resolver: dns.asyncresolver.Resolver) -> None:
        resolver.use_edns(0, 0, _EDNS_BYTES)
        resolver.timeout, resolver.lifetime = TRY_SECONDS, QUERY_SECONDS
        resolver.cache = dns.resolver.Cache()
        self._resolver = resolver

    @classmethod
    def open(cls, nameservers: tuple[tuple[str, int], ...] = ()) -> Self:
        """Return a resolver for these addresses and ports, or for the name servers of this machine.

        Raises `DnsError` if this machine has no name server.
        """
        try:
            resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise DnsError("this machine", "no name server") from error
        if nameservers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*each) for each in nameservers]
        return cls(resolver)

    async def txt(self, name: str) -> Answer:
        """Return the TXT records under a name. The strings of a record are joined. Raises `DnsError`."""
        answer = await self._query(name, "TXT")
        if isinstance(answer, Answer):
            return answer
        values = (b"".join(each.strings).decode("utf-8", "replace") for each in answer)
        return Answer(exists=True, values=tuple(values))

    async def find(self, name: str, kind: Literal["A", "AAAA", "MX"]) -> Answer:
        """Return the records of this type under a name. Raises `DnsError`."""
        answer = await self._query(name, kind)
        if isinstance(answer, Answer):
            return answer
        return Answer(exists=True, values=tuple(each.to_text() for each in answer))

    async def _query(self, name: str, kind: str) -> Answer | dns.resolver.Answer:
        try:
            return await self._resolver.resolve(name, kind, search=False)
        except dns.resolver.NXDOMAIN:
            return Answer(exists=False)
        except dns.resolver.NoAnswer:
            return Answer(exists=True)
        except dns.resolver.LifetimeTimeout as error:
            raise DnsError(name, f"no answer within {QUERY_SECONDS:g} s") from error
        except dns.resolver.NoNameservers as error:
            raise DnsError(name, "the name server answers with an error (SERVFAIL or similar)") from error
        except (dns.exception.DNSException, UnicodeError, OSError) as error:
            raise DnsError(name, type(error).__name__) from error
