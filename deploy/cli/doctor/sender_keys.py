"""Checks the DKIM keys of a sender's domain: the mail provider's, and those with which FASTCore signs."""

from collections.abc import Iterable, Iterator

from deploy.cli.doctor.check_result import CheckResult, ok, warn
from deploy.cli.doctor.mail_dns.dkim_key import DkimKey, read_key
from deploy.cli.doctor.mail_dns.dmarc import Dmarc
from deploy.cli.doctor.mail_dns.resolver import Resolver
from deploy.cli.doctor.sender_checks import SenderChecks
from services.notifier.mail.dkim_signature import DkimSigner


async def read_keys(resolver: Resolver, domain: str, checks: SenderChecks) -> list[DkimKey]:
    """Return the keys of the provider's selectors. Raises `DnsError`."""
    selectors = checks.selectors or (checks.provider.selectors if checks.provider else ())
    return [await read_key(resolver, selector, domain) for selector in selectors]


def check_provider_keys(domain: str, keys: Iterable[DkimKey], checks: SenderChecks) -> Iterator[CheckResult]:
    """Yield what is wrong with the keys with which the provider signs."""
    present = [key for key in keys if key.exists]
    # Mails that FASTCore signs need no signature of the provider.
    if not present and (checks.selectors or not checks.own.get(domain)):
        yield _no_key(domain, checks)
    for key in present:
        if key.mistake:
            severity = warn if any(each.usable for each in present) else checks.severity
            yield severity(
                "dkim", f"{key.name}: {key.mistake}", "publish the key anew, as your provider shows it"
            )
        elif key.weakness:
            yield warn(
                "dkim",
                f"{key.name}: {key.weakness}",
                "publish a key of 2048 bits under a new selector, without t=y",
            )
        else:
            yield ok("dkim", f"{key.name}: {key.description}")


def matches(signer: DkimSigner, key: DkimKey) -> bool:
    """Return True if receivers can verify our signatures with the published key."""
    return key.usable and key.value == signer.public_value


def aligns(signer: DkimSigner, dmarc: Dmarc) -> bool:
    """Return True if a signature of ours makes mails from this domain pass DMARC."""
    if dmarc.strict_dkim:
        return signer.domain == dmarc.domain
    return signer.domain == dmarc.organization or signer.domain.endswith(f".{dmarc.organization}")


def check_own_key(signer: DkimSigner, key: DkimKey, dmarc: Dmarc, checks: SenderChecks) -> CheckResult:
    """Check that the key with which FASTCore signs is published, and counts for DMARC."""
    publish = "publish the record that python -m deploy.cli.mail dkim-record prints"
    if not key.exists:
        return checks.severity("dkim", f"{key.name}: the key with which we sign is not published", publish)
    if key.mistake:
        return checks.severity("dkim", f"{key.name}: {key.mistake}", publish)
    if not matches(signer, key):
        return checks.severity("dkim", f"{key.name}: not the key with which we sign", publish)
    if not aligns(signer, dmarc):
        seen = f"{key.name}: d={signer.domain} does not align with mails from {dmarc.domain}"
        return checks.severity("dkim", seen, f"sign with the domain {dmarc.domain}")
    if key.weakness:
        return warn("dkim", f"{key.name}: {key.weakness}", "make a new key under a new selector: dkim-key")
    return ok("dkim", f"{key.name}: {key.description}, with which we sign")


def _no_key(domain: str, checks: SenderChecks) -> CheckResult:
    name_them = "name the selectors in FASTCORE_DOCTOR_DKIM_SELECTORS"
    if checks.selectors:
        names = ", ".join(checks.selectors)
        todo = "publish the key, or correct FASTCORE_DOCTOR_DKIM_SELECTORS"
        return checks.severity("dkim", f"{domain}: no key for the selectors {names}", todo)
    if checks.provider and checks.provider.selectors:
        names = ", ".join(checks.provider.selectors)
        todo = f"turn on DKIM for the domain at {checks.provider.name}, or {name_them}"
        return warn("dkim", f"{domain}: no key for {checks.provider.name}'s usual selectors {names}", todo)
    return warn("dkim", f"{domain}: not checked, because no selector is known", name_them)
