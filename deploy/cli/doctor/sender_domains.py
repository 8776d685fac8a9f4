"""Checks SPF, DKIM and DMARC of each sender's domain by DNS. Sends no email."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

from deploy.cli.doctor.check_result import CheckResult, ok, warn
from deploy.cli.doctor.mail_dns.dkim_key import read_key
from deploy.cli.doctor.mail_dns.dmarc import Dmarc, read_dmarc
from deploy.cli.doctor.mail_dns.providers import Provider, owner_of_mailboxes
from deploy.cli.doctor.mail_dns.resolver import DnsError, Resolver
from deploy.cli.doctor.mail_dns.spf import LOOKUPS_MAX, Spf, read_spf
from deploy.cli.doctor.sender_checks import SenderChecks
from deploy.cli.doctor.sender_keys import aligns, check_own_key, check_provider_keys, matches, read_keys

CONCURRENT_DOMAINS: Final = 8
DOMAIN_SECONDS: Final = 30.0
TOTAL_SECONDS: Final = 60.0
# Names that public DNS does not have (RFC 6761, RFC 9476 and others).
_PRIVATE: Final = frozenset(
    ("test", "example", "invalid", "localhost", "local", "internal", "lan", "home", "corp", "onion", "alt")
)
_PRIVATE_DOMAINS: Final = ("example.com", "example.net", "example.org", "home.arpa")
_DOCS: Final = "docs/email.md#spf-dkim-and-dmarc"


async def check_sender_domains(
    domains: Mapping[str, str], resolver: Resolver, checks: SenderChecks
) -> AsyncIterator[CheckResult]:
    """Check the domains of the senders. `domains` has the sites of each domain, for the texts."""
    limit = asyncio.Semaphore(CONCURRENT_DOMAINS)

    async def check(domain: str) -> list[CheckResult] | DnsError:
        async with limit:
            try:
                async with asyncio.timeout(DOMAIN_SECONDS):
                    return await _check_domain(domain, resolver, checks)
            except TimeoutError:
                return DnsError(domain, f"not all answers within {DOMAIN_SECONDS:g} s")
            except DnsError as error:
                return error

    tasks = [asyncio.create_task(check(domain)) for domain in domains]
    try:
        await asyncio.wait(tasks, timeout=TOTAL_SECONDS)
        late = DnsError("DNS", f"not all answers within {TOTAL_SECONDS:g} s")
        found = {
            domain: task.result() if task.done() else late
            for domain, task in zip(domains, tasks, strict=True)
        }
    finally:
        for task in tasks:
            task.cancel()
    for result in _report(domains, found):
        yield result


def _report(
    domains: Mapping[str, str], found: Mapping[str, list[CheckResult] | DnsError]
) -> Iterator[CheckResult]:
    errors = {domain: each for domain, each in found.items() if isinstance(each, DnsError)}
    if len(errors) == len(found) > 1:
        yield dns_unavailable(f"{len(errors)} domains", next(iter(errors.values())))
        return
    for domain, each in found.items():
        if isinstance(each, DnsError):
            yield dns_unavailable(f"{domain} ({domains[domain]})", each)
        else:
            yield from each


def dns_unavailable(what: str, error: DnsError) -> CheckResult:
    """Return the warning that `what` was not checked, because DNS did not answer."""
    todo = "run the doctor where DNS works, or set FASTCORE_DOCTOR_NAMESERVERS"
    return warn("sender-dns", f"{what} not checked: {error}", todo)


def is_private(domain: str) -> bool:
    """Return True if public DNS cannot have this domain."""
    return (
        "." not in domain
        or domain.rpartition(".")[2] in _PRIVATE
        or any(domain == each or domain.endswith(f".{each}") for each in _PRIVATE_DOMAINS)
    )


def not_public(domain: str) -> CheckResult:
    """Return the warning about a domain that public DNS cannot have."""
    todo = "for mails to the outside set FROM_EMAIL (or the site's from) to an address of your own domain"
    return warn("sender-dns", f"{domain} is a private name: SPF, DKIM and DMARC not checked", todo)


async def _check_domain(domain: str, resolver: Resolver, checks: SenderChecks) -> list[CheckResult]:
    """Check one domain. Raises `DnsError` if DNS does not answer."""
    if owner := owner_of_mailboxes(domain):
        return [_check_owner(domain, owner, checks)]
    spf = await read_spf(resolver, domain)
    if not spf.record and not await _exists(resolver, domain):
        todo = "correct FROM_EMAIL (or the site's from): servers refuse mails from it, and bounces are lost"
        return [checks.severity("sender-dns", f"{domain} does not exist", todo)]
    keys = await read_keys(resolver, domain, checks)
    own = [
        (signer, await read_key(resolver, signer.selector, signer.domain))
        for signer in checks.own.get(domain, ())
    ]
    dmarc = await read_dmarc(resolver, domain)
    by_dkim = any(key.usable for key in keys) or any(
        matches(signer, key) and aligns(signer, dmarc) for signer, key in own
    )
    return [
        _check_spf(domain, spf, checks),
        *(check_own_key(signer, key, dmarc, checks) for signer, key in own),
        *check_provider_keys(domain, keys, checks),
        *_check_dmarc(dmarc, spf, checks, by_dkim=by_dkim),
    ]


def _check_owner(domain: str, owner: Provider, checks: SenderChecks) -> CheckResult:
    if checks.provider == owner:
        return ok("sender-dns", f"{domain}: {owner.name} sends and signs for its own mailboxes")
    todo = f"send through {owner.name}'s mail server, or from a domain of your own"
    return checks.severity("sender-dns", f"{domain}: only {owner.name}'s servers may send for it", todo)


async def _exists(resolver: Resolver, domain: str) -> bool:
    return (await resolver.txt(domain)).exists or (await resolver.find(domain, "MX")).exists


def _check_spf(domain: str, spf: Spf, checks: SenderChecks) -> CheckResult:
    provider = checks.provider
    # Where bounces go to a domain of the provider, receivers check the SPF record of that domain.
    severity = warn if provider and not provider.keeps_sender else checks.severity
    include = f"include:{provider.spf[0]}" if provider else "the addresses of your mail server (ip4:, ip6:)"
    if not spf.record:
        todo = f'publish a TXT record: "v=spf1 {include} ~all" ({_DOCS})'
        return severity("spf", f"{domain}: no SPF record", todo)
    if spf.mistakes:
        more = f" (and {len(spf.mistakes) - 1} more)" if len(spf.mistakes) > 1 else ""
        todo = "correct the record: receivers ignore it as it is (permerror)"
        return severity("spf", f"{domain}: {spf.mistakes[0]}{more}", todo)
    if provider and not provider.is_included(spf.included):
        return severity("spf", f"{domain}: does not include {provider.name}", f"add {include} to the record")
    if not spf.rejects_others:
        seen = f"{domain}: ends with {spf.ending}" if spf.ending else f"{domain}: has no all at its end"
        return severity("spf", seen, "end the record with ~all or -all, or anybody may send for the domain")
    includes = f", includes {provider.name}" if provider else ""
    return ok("spf", f"{domain}: {spf.lookups} of {LOOKUPS_MAX} lookups, {spf.ending}{includes}")


def _check_dmarc(dmarc: Dmarc, spf: Spf, checks: SenderChecks, *, by_dkim: bool) -> Iterator[CheckResult]:
    domain = dmarc.domain
    if not dmarc.found_at:
        todo = f'publish a TXT record at _dmarc.{dmarc.organization}: "v=DMARC1; p=none; rua=mailto:…"'
        yield warn("dmarc", f"{domain}: no DMARC record: large providers require one", todo)
        return
    if dmarc.mistake:
        todo = "correct the record: receivers ignore it as it is"
        yield checks.severity("dmarc", f"{domain}: {dmarc.mistake}", todo)
        return
    at = "" if dmarc.found_at == domain else f" (from {dmarc.found_at})"
    by_spf = _aligns_by_spf(spf, checks.provider)
    if not (by_spf or by_dkim):
        seen = f"{domain}: p={dmarc.policy}{at}, but neither SPF nor DKIM makes our mails pass"
        severity = checks.severity if dmarc.enforces else warn
        yield severity(
            "dmarc", seen, "correct what spf and dkim report above: From must align by one of them"
        )
    elif not dmarc.enforces:
        todo = "once the reports (rua=) show only your own servers, set p=quarantine or p=reject"
        yield warn("dmarc", f"{domain}: p=none{at} only observes", todo)
    else:
        passes = " and ".join(name for name, passes in (("SPF", by_spf), ("DKIM", by_dkim)) if passes)
        yield ok("dmarc", f"{domain}: p={dmarc.policy}{at}, From aligns by {passes}")


def _aligns_by_spf(spf: Spf, provider: Provider | None) -> bool:
    """Return True if mails pass DMARC by a valid SPF record that lists the mail server.

    The addresses of an unknown provider's servers are not known here, so they count as listed.
    """
    if not spf.record or spf.mistakes:
        return False
    return provider is None or (provider.keeps_sender and provider.is_included(spf.included))
