"""A real DNS server, and a resolver that queries it."""

from collections.abc import AsyncIterator

import pytest

from deploy.cli.doctor.mail_dns.resolver import Resolver
from tests.support.mail.dns_server import DnsServer, dns_server


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
def resolver(zone: DnsServer) -> Resolver:
    return Resolver.open((("127.0.0.1", zone.port),))
