"""The SPF record of a domain with all records that it includes."""

import pytest

from deploy.cli.doctor.mail_dns.resolver import DnsError, Resolver
from deploy.cli.doctor.mail_dns.spf import read_spf
from tests.support.mail.dns_server import SERVFAIL, DnsServer


async def test_every_mechanism_that_needs_dns_is_counted(zone: DnsServer, resolver: Resolver) -> None:
    zone.records["nord.studio", "A"] = ["192.0.2.1"]
    zone.records["nord.studio", "MX"] = ["10 mail.nord.studio."]
    zone.txt("nord.studio", "other=1", "v=spf1 a mx/24 ptr exists:%{i}.x ip4:192.0.2.7 include:a.studio ~all")
    zone.txt("a.studio", "v=spf1 ip6:2001:db8::/32 redirect=b.studio")
    zone.txt("b.studio", "v=spf1 ip4:192.0.2.0/24 -all")
    spf = await read_spf(resolver, "nord.studio")
    assert (spf.lookups, spf.void_lookups, spf.ending, spf.mistakes) == (6, 0, "~all", [])
    assert spf.included == {"a.studio", "b.studio"}
    assert spf.rejects_others


@pytest.mark.parametrize(
    ("record", "ending", "rejects"),
    [
        ("v=spf1 -all", "-all", True),
        ("v=spf1 ~ALL", "~ALL", True),
        ("v=spf1 ?all", "?all", False),
        ("v=spf1 all", "+all", False),
        ("v=spf1 +all", "+all", False),
        ("v=spf1 ip4:192.0.2.1", "", False),
        ("v=spf1", "", False),
        ("v=spf1 -all redirect=open.studio", "-all", True),
        ("v=spf1 redirect=open.studio", "+all", False),
    ],
)
async def test_the_ending_decides_who_else_may_send(
    zone: DnsServer, resolver: Resolver, record: str, ending: str, rejects: bool
) -> None:
    zone.txt("nord.studio", record)
    zone.txt("open.studio", "v=spf1 +all")
    spf = await read_spf(resolver, "nord.studio")
    assert (spf.ending, spf.rejects_others, spf.mistakes) == (ending.lower(), rejects, [])


async def test_a_record_of_another_kind_is_no_spf_record(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf10 -all", "spf1 -all", "v=spf2.0/pra -all")
    assert (await read_spf(resolver, "nord.studio")).record == ""


async def test_several_records_are_a_mistake(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 -all", "v=spf1 ~all")
    (mistake,) = (await read_spf(resolver, "nord.studio")).mistakes
    assert mistake == "2 SPF records, but only one may exist"


@pytest.mark.parametrize(("includes", "allowed"), [(10, True), (11, False)])
async def test_ten_lookups_are_allowed(
    zone: DnsServer, resolver: Resolver, includes: int, allowed: bool
) -> None:
    zone.txt("nord.studio", f"v=spf1 {' '.join(f'include:i{n}.studio' for n in range(includes))} -all")
    for number in range(includes):
        zone.txt(f"i{number}.studio", "v=spf1 ip4:192.0.2.1 -all")
    spf = await read_spf(resolver, "nord.studio")
    assert spf.lookups == includes
    assert spf.mistakes == ([] if allowed else ["11 DNS lookups, but at most 10 are allowed"])


async def test_a_record_that_never_ends_is_not_followed_for_ever(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 include:n0.studio -all")
    for number in range(200):
        zone.txt(
            f"n{number}.studio", f"v=spf1 include:n{number + 1}.studio include:n{number + 1}.studio -all"
        )
    spf = await read_spf(resolver, "nord.studio")
    assert spf.mistakes == ["more than 20 DNS lookups, but at most 10 are allowed"]
    assert sum(zone.queries.values()) < 30


@pytest.mark.parametrize("term", ["include", "redirect"])
async def test_a_loop_is_found(zone: DnsServer, resolver: Resolver, term: str) -> None:
    sign = {"include": ":", "redirect": "="}[term]
    zone.txt("nord.studio", f"v=spf1 {term}{sign}a.studio")
    zone.txt("a.studio", f"v=spf1 {term}{sign}Nord.Studio")
    spf = await read_spf(resolver, "nord.studio")
    assert spf.mistakes == [f"{term} of nord.studio is a loop"]


async def test_lookups_that_find_nothing_are_limited(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 a:x.studio mx:y.studio a:z.studio -all")
    spf = await read_spf(resolver, "nord.studio")
    assert (spf.void_lookups, spf.mistakes) == (3, ["3 lookups find nothing, more than 2"])


async def test_an_include_without_a_record_is_a_mistake(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 include:gone.studio -all")
    spf = await read_spf(resolver, "nord.studio")
    assert spf.mistakes == ["include of gone.studio, which has no SPF record"]


async def test_an_unknown_term_is_a_mistake(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 ipv4:192.0.2.1 exp=why.nord.studio -all")
    spf = await read_spf(resolver, "nord.studio")
    assert spf.mistakes == ["the term 'ipv4:192.0.2.1' of nord.studio is not known"]


async def test_a_failing_include_is_no_verdict(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 include:a.studio -all")
    zone.faults["a.studio"] = SERVFAIL
    with pytest.raises(DnsError):
        await read_spf(resolver, "nord.studio")
