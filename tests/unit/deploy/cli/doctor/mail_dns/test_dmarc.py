"""The DMARC policy that applies to a domain, and its organizational domain."""

import pytest

from deploy.cli.doctor.mail_dns.dmarc import read_dmarc
from deploy.cli.doctor.mail_dns.resolver import Resolver
from tests.support.mail.dns_server import DnsServer


async def test_the_policy_of_the_organization_applies_to_its_subdomains(
    zone: DnsServer, resolver: Resolver
) -> None:
    zone.txt("_dmarc.nord.studio", "v=DMARC1; p=reject; sp=quarantine; adkim=s")
    dmarc = await read_dmarc(resolver, "mail.eu.nord.studio")
    assert (dmarc.organization, dmarc.found_at, dmarc.policy) == ("nord.studio", "nord.studio", "quarantine")
    assert dmarc.strict_dkim
    assert (await read_dmarc(resolver, "nord.studio")).policy == "reject"


async def test_a_record_of_the_domain_itself_goes_first(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("_dmarc.nord.studio", "v=DMARC1; p=reject")
    zone.txt("_dmarc.mail.nord.studio", "v=DMARC1; p=none")
    dmarc = await read_dmarc(resolver, "mail.nord.studio")
    assert (dmarc.organization, dmarc.found_at, dmarc.policy) == ("nord.studio", "mail.nord.studio", "none")


async def test_a_registry_is_not_the_organization(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("_dmarc.studio", "v=DMARC1; p=reject; psd=y")
    dmarc = await read_dmarc(resolver, "mail.nord.studio")
    assert (dmarc.organization, dmarc.found_at) == ("nord.studio", "")
    zone.txt("_dmarc.mail.sud.studio", "v=DMARC1; p=quarantine; psd=n")
    dmarc = await read_dmarc(resolver, "mail.sud.studio")
    assert (dmarc.organization, dmarc.policy) == ("mail.sud.studio", "quarantine")


async def test_a_long_name_needs_at_most_eight_queries(zone: DnsServer, resolver: Resolver) -> None:
    await read_dmarc(resolver, "a.b.c.d.e.f.g.h.i.j.mail.nord.studio")
    assert sum(zone.queries.values()) == 8


async def test_without_a_record_there_is_no_policy(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("_dmarc.nord.studio", "v=spf1 -all", "v=DMARC2; p=none")
    dmarc = await read_dmarc(resolver, "nord.studio")
    assert (dmarc.found_at, dmarc.enforces) == ("", False)


@pytest.mark.parametrize(
    ("records", "mistake"),
    [
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "2 DMARC records at _dmarc.nord.studio"),
        (["v=DMARC1; p=block"], "the policy 'block' is not none, quarantine or reject"),
    ],
)
async def test_a_record_that_receivers_ignore_says_why(
    zone: DnsServer, resolver: Resolver, records: list[str], mistake: str
) -> None:
    zone.txt("_dmarc.nord.studio", *records)
    assert mistake in (await read_dmarc(resolver, "nord.studio")).mistake
