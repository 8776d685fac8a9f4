"""Checks whether receivers will accept our mails: the senders' domains in DNS, and the mails themselves."""

import asyncio
from collections.abc import AsyncIterator

from deploy.cli.doctor.check_result import CheckResult, fail, warn
from deploy.cli.doctor.mail_dns.providers import find_provider
from deploy.cli.doctor.mail_dns.resolver import DnsError, Resolver
from deploy.cli.doctor.sample_mails import check_sample_mails
from deploy.cli.doctor.sender_checks import SenderChecks
from deploy.cli.doctor.sender_domains import (
    check_sender_domains,
    dns_unavailable,
    is_private,
    not_public,
)
from deploy.settings import DoctorSettings
from runtime.sites.file import SitesFileError, environment
from runtime.sites.model import Sites
from services.notifier.mail.dkim_signature import DkimSigner
from services.notifier.mail.dkim_signers import DkimKeyError, DkimSigners
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.settings import Settings as Notifier

DEFAULT: str = "default"
"""The name under which mails of sites without a sender of their own are reported."""


async def check_deliverability(
    notifier: Notifier, sites: Sites, doctor: DoctorSettings, *, debug: bool
) -> AsyncIterator[CheckResult]:
    """Check the senders' domains and one mail of each kind and site."""
    path = notifier.sites_file.path
    default = Identity(notifier.from_email, notifier.sender_name, notifier.admins, notifier.admin_url)
    # The constructor reads the folders of templates.
    identities = await asyncio.to_thread(Identities, default, sites, path.parent if path else None)
    names = list(sites.by_name) or [DEFAULT]
    for result in await asyncio.to_thread(lambda: list(check_sample_mails(identities, names))):
        yield result
    domains = sender_domains(identities)
    public = {domain: of for domain, of in domains.items() if doctor.nameservers or not is_private(domain)}
    for domain in domains:
        if domain not in public:
            yield not_public(domain)
    if not public:
        return
    try:
        resolver = Resolver.open(doctor.nameserver_addresses)
    except DnsError as error:
        yield dns_unavailable(", ".join(public), error)
        return
    try:
        signers = await asyncio.to_thread(DkimSigners, notifier, sites, environment())
    except (DkimKeyError, SitesFileError) as error:
        yield fail("dkim", str(error), "correct it: the notifier does not start with it")
        return
    checks = SenderChecks(
        find_provider(notifier.smtp.host),
        doctor.selectors,
        warn if debug else fail,
        {domain: own_signers(identities, signers, domain) for domain in public},
    )
    async for result in check_sender_domains(public, resolver, checks):
        yield result


def own_signers(identities: Identities, signers: DkimSigners, domain: str) -> list[DkimSigner]:
    """Return the signers of mails from this domain, each key once."""
    found = (signers.of(sender) for sender in senders(identities) if sender.endswith(f"@{domain}"))
    return list({each.record_name: each for each in found if each}.values())


def senders(identities: Identities) -> list[str]:
    """Return the addresses of all senders."""
    return [identities.of(name).from_email for name in (DEFAULT, *identities.sites.by_name)]


def sender_domains(identities: Identities) -> dict[str, str]:
    """Return the domains of all senders, each with the names of its sites."""
    domains: dict[str, list[str]] = {}
    for name in [DEFAULT, *identities.sites.by_name]:
        domains.setdefault(identities.of(name).from_email.rpartition("@")[2].lower(), []).append(name)
    return {domain: ", ".join(names) for domain, names in domains.items()}
