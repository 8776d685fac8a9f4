"""What the doctor says about a sender's domain, from the answers of a real DNS server."""

import asyncio
import time

import pytest

from deploy.cli.doctor import sender_domains
from deploy.cli.doctor.check_result import CheckResult, fail, warn
from deploy.cli.doctor.mail_dns import resolver as resolver_module
from deploy.cli.doctor.mail_dns.providers import find_provider
from deploy.cli.doctor.mail_dns.resolver import Resolver
from deploy.cli.doctor.sender_checks import SenderChecks, Severity
from deploy.cli.doctor.sender_domains import check_sender_domains, is_private
from services.notifier.mail.dkim_key import make_private_key, parse_private_key
from services.notifier.mail.dkim_signature import DkimSigner
from tests.support.mail.dkim_keys import KEY
from tests.support.mail.dns_server import SERVFAIL, SILENT, DnsServer

GOOGLE, SENDGRID, OWN = "smtp.gmail.com", "smtp.sendgrid.net", "mail.nord.studio"


async def check(
    resolver: Resolver,
    host: str,
    *domains: str,
    selectors: tuple[str, ...] = (),
    severity: Severity = fail,
    own: tuple[DkimSigner, ...] = (),
) -> list[CheckResult]:
    names = dict.fromkeys(domains or ("nord.studio",), "default")
    checks = SenderChecks(find_provider(host), selectors, severity, dict.fromkeys(names, own))
    return [each async for each in check_sender_domains(names, resolver, checks)]


def fresh(zone: DnsServer) -> Resolver:
    """Return a resolver without a cache of earlier answers."""
    return Resolver.open((("127.0.0.1", zone.port),))


def levels(results: list[CheckResult]) -> dict[str, str]:
    assert all(bool(each.todo) == (each.level != "ok") for each in results)
    return {each.check: each.level for each in results}


@pytest.fixture
def good(zone: DnsServer) -> DnsServer:
    """Return a zone in which all is well for mails through Google."""
    zone.txt("nord.studio", "v=spf1 include:_spf.google.com ~all")
    zone.txt("_spf.google.com", "v=spf1 ip4:192.0.2.0/24 ~all")
    zone.txt("google._domainkey.nord.studio", f"v=DKIM1; k=rsa; p={KEY}")
    zone.txt("_dmarc.nord.studio", "v=DMARC1; p=reject; rua=mailto:dmarc@nord.studio")
    return zone


async def test_a_good_domain_passes_every_check(good: DnsServer, resolver: Resolver) -> None:
    assert [(each.check, each.level, each.seen) for each in await check(resolver, GOOGLE)] == [
        ("spf", "ok", "nord.studio: 1 of 10 lookups, ~all, includes Google"),
        ("dkim", "ok", "google._domainkey.nord.studio: RSA 2048"),
        ("dmarc", "ok", "nord.studio: p=reject, From aligns by SPF and DKIM"),
    ]


async def test_nothing_published_is_named_with_what_to_publish(zone: DnsServer, resolver: Resolver) -> None:
    zone.records["nord.studio", "MX"] = ["10 mail.nord.studio."]
    results = await check(resolver, GOOGLE)
    assert levels(results) == {"spf": "fail", "dkim": "warn", "dmarc": "warn"}
    todos = " | ".join(each.todo for each in results)
    assert '"v=spf1 include:_spf.google.com ~all"' in todos
    assert '_dmarc.nord.studio: "v=DMARC1; p=none' in todos


async def test_a_provider_that_the_record_lacks_fails_spf_and_dmarc(
    good: DnsServer, resolver: Resolver
) -> None:
    good.records["nord.studio", "TXT"] = ['"v=spf1 ip4:192.0.2.1 ~all"']
    del good.records["google._domainkey.nord.studio", "TXT"]
    results = await check(resolver, GOOGLE)
    assert levels(results) == {"spf": "fail", "dkim": "warn", "dmarc": "fail"}
    assert results[0].todo == "add include:_spf.google.com to the record"
    assert results[2].seen == "nord.studio: p=reject, but neither SPF nor DKIM makes our mails pass"


async def test_where_the_provider_gets_the_bounces_only_dkim_aligns(
    good: DnsServer, resolver: Resolver
) -> None:
    good.records["nord.studio", "TXT"] = ['"v=spf1 include:sendgrid.net ~all"']
    good.txt("sendgrid.net", "v=spf1 ip4:192.0.2.0/24 ~all")
    without = await check(resolver, SENDGRID)
    assert levels(without) == {"spf": "ok", "dkim": "warn", "dmarc": "fail"}
    good.txt("s1._domainkey.nord.studio", f"k=rsa; p={KEY}")
    assert (await check(fresh(good), SENDGRID))[-1].seen == "nord.studio: p=reject, From aligns by DKIM"


async def test_a_configured_selector_without_a_key_fails(good: DnsServer, resolver: Resolver) -> None:
    (dkim,) = [e for e in await check(resolver, GOOGLE, selectors=("x1", "x2")) if e.check == "dkim"]
    assert (dkim.level, dkim.seen) == ("fail", "nord.studio: no key for the selectors x1, x2")


async def test_a_revoked_key_beside_a_good_one_is_a_warning(good: DnsServer, resolver: Resolver) -> None:
    good.txt("old._domainkey.nord.studio", "v=DKIM1; p=")
    results = await check(resolver, GOOGLE, selectors=("old", "google"))
    assert [each.level for each in results] == ["ok", "warn", "ok", "ok"]
    alone = await check(resolver, GOOGLE, selectors=("old",))
    assert levels(alone)["dkim"] == "fail"
    assert alone[1].seen == "old._domainkey.nord.studio: the key is revoked: p= is empty"


async def test_an_own_server_needs_a_record_that_is_valid(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("nord.studio", "v=spf1 -all", "v=spf1 ~all")
    zone.txt("_dmarc.nord.studio", "v=DMARC1; p=none")
    results = await check(resolver, OWN)
    assert levels(results) == {"spf": "fail", "dkim": "warn", "dmarc": "warn"}
    assert "2 SPF records" in results[0].seen
    zone.records["nord.studio", "TXT"] = ['"v=spf1 ip4:192.0.2.1 -all"']
    assert [each.seen for each in await check(fresh(zone), OWN)] == [
        "nord.studio: 0 of 10 lookups, -all",
        "nord.studio: not checked, because no selector is known",
        "nord.studio: p=none only observes",
    ]


async def test_the_key_with_which_we_sign_must_be_published(zone: DnsServer) -> None:
    signer = DkimSigner("nord.studio", "fc1", parse_private_key(make_private_key(2048)))
    zone.txt("nord.studio", "v=spf1 ip4:192.0.2.1 -all")
    zone.txt("_dmarc.nord.studio", "v=DMARC1; p=reject; adkim=s")

    async def seen(domain: str = "nord.studio") -> tuple[str, str]:
        results = await check(fresh(zone), OWN, domain, own=(signer,))
        (dkim,) = [each for each in results if each.check == "dkim"]
        assert bool(dkim.todo) == (dkim.level != "ok")
        return dkim.level, dkim.seen.removeprefix("fc1._domainkey.nord.studio: ")

    assert await seen() == ("fail", "the key with which we sign is not published")
    zone.txt(signer.record_name, f"v=DKIM1; p={KEY}")
    assert await seen() == ("fail", "not the key with which we sign")
    zone.records.pop((signer.record_name, "TXT"))
    zone.txt(signer.record_name, signer.record_value)
    assert await seen() == ("ok", "RSA 2048, with which we sign")
    assert (await check(fresh(zone), OWN, own=(signer,)))[-1].seen.endswith("by SPF and DKIM")
    zone.txt("mail.nord.studio", "v=spf1 ip4:192.0.2.1 -all")
    strict = "d=nord.studio does not align with mails from mail.nord.studio"
    assert await seen("mail.nord.studio") == ("fail", strict)


async def test_a_domain_that_does_not_exist_fails_at_once(zone: DnsServer, resolver: Resolver) -> None:
    (result,) = await check(resolver, OWN)
    assert (result.check, result.level, result.seen) == ("sender-dns", "fail", "nord.studio does not exist")


async def test_a_mailbox_of_a_provider_is_sent_by_the_provider_only(resolver: Resolver) -> None:
    assert levels(await check(resolver, GOOGLE, "gmail.com")) == {"sender-dns": "ok"}
    assert levels(await check(resolver, SENDGRID, "gmail.com")) == {"sender-dns": "fail"}


async def test_in_development_nothing_fails(zone: DnsServer, resolver: Resolver) -> None:
    assert levels(await check(resolver, OWN, severity=warn)) == {"sender-dns": "warn"}


async def test_an_unavailable_dns_is_one_warning(zone: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "TRY_SECONDS", 0.1)
    monkeypatch.setattr(resolver_module, "QUERY_SECONDS", 0.3)
    zone.faults["*"] = SILENT
    resolver, began = fresh(zone), time.monotonic()
    (result,) = await check(resolver, OWN, *[f"n{number}.studio" for number in range(40)])
    assert (result.level, result.seen.split(":")[0]) == ("warn", "40 domains not checked")
    assert time.monotonic() - began < 10


async def test_a_domain_whose_servers_fail_is_a_warning_beside_the_others(
    good: DnsServer, resolver: Resolver
) -> None:
    good.faults["sud.studio"] = SERVFAIL
    results = await check(resolver, GOOGLE, "nord.studio", "sud.studio")
    assert [each.level for each in results] == ["ok", "ok", "ok", "warn"]
    assert results[-1].seen.startswith("sud.studio (default) not checked: sud.studio: the name server")


async def test_the_time_for_all_domains_is_limited(good: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> list[CheckResult]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(sender_domains, "_check_domain", hang)
    monkeypatch.setattr(sender_domains, "TOTAL_SECONDS", 0.1)
    began = time.monotonic()
    (result,) = await check(fresh(good), GOOGLE)
    assert time.monotonic() - began < 5
    assert (result.level, "not all answers" in result.seen) == ("warn", True)


@pytest.mark.parametrize("name", ["mailhost", "fast.example", "shop.example.com", "nas.home.arpa", "a.local"])
def test_a_private_name_differs_from_a_public_one(name: str) -> None:
    assert is_private(name)
    assert not is_private(f"{name}.studio")
