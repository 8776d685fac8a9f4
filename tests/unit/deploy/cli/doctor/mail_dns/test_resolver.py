"""The resolver distinguishes an answer, an absent name, an error and silence."""

import time

import pytest

from deploy.cli.doctor.mail_dns import resolver as module
from deploy.cli.doctor.mail_dns.resolver import Answer, DnsError, Resolver
from tests.support.mail.dns_server import SERVFAIL, SILENT, DnsServer


async def test_the_strings_of_a_long_record_are_joined(zone: DnsServer, resolver: Resolver) -> None:
    value = "v=DKIM1; p=" + "A" * 500
    zone.txt("s1._domainkey.nord.studio", value)
    assert await resolver.txt("s1._domainkey.nord.studio") == Answer(True, (value,))
    assert zone.records["s1._domainkey.nord.studio", "TXT"][0].count('" "') == 2


async def test_an_absent_name_differs_from_one_without_such_records(
    zone: DnsServer, resolver: Resolver
) -> None:
    zone.records["nord.studio", "MX"] = ["10 mail.nord.studio."]
    assert await resolver.txt("nord.studio") == Answer(exists=True)
    assert await resolver.txt("sud.studio") == Answer(exists=False)
    assert (await resolver.find("nord.studio", "MX")).values == ("10 mail.nord.studio.",)


async def test_a_truncated_answer_is_requested_again_over_tcp(zone: DnsServer, resolver: Resolver) -> None:
    values = [f"site-verification={number:0250d}" for number in range(8)]
    zone.txt("nord.studio", *values)
    assert set((await resolver.txt("nord.studio")).values) == set(values)
    assert zone.queries == {"udp": 1, "tcp": 1}


async def test_servfail_says_nothing_about_the_name(zone: DnsServer, resolver: Resolver) -> None:
    zone.faults["nord.studio"] = SERVFAIL
    with pytest.raises(DnsError, match="SERVFAIL"):
        await resolver.txt("nord.studio")


async def test_a_silent_server_is_given_up_in_time(zone: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_SECONDS", 0.2)
    monkeypatch.setattr(module, "QUERY_SECONDS", 0.7)
    zone.faults["nord.studio"] = SILENT
    began = time.monotonic()
    with pytest.raises(DnsError, match=r"no answer within 0\.7 s"):
        await Resolver.open((("127.0.0.1", zone.port),)).txt("nord.studio")
    assert time.monotonic() - began < 3
    assert zone.queries["udp"] > 1, "tried again"


async def test_a_name_that_dns_cannot_hold_is_an_error_too(resolver: Resolver) -> None:
    with pytest.raises(DnsError):
        await resolver.txt(f"{'a' * 64}.studio")
