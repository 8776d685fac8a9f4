"""Checks of the services over HTTP, and of the mail server. They send no email."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiosmtplib

from deploy.cli.doctor.check_result import CheckResult, fail, is_this_machine, ok, warn
from runtime.oauth_tokens import AccessTokenError, AccessTokens
from services.admin.monitoring.service_clients import open_service_clients
from services.admin.schemas.system import PartHealth
from services.admin.settings import Settings as Admin
from services.notifier.settings import Smtp
from services.notifier.smtp.client import make_client, tls_context
from services.notifier.smtp.session import Session

MAIL_TIMEOUT_SECONDS: Final = 15.0

# What to do if a part of a service that is ready reports a problem.
_SITES_CHECK: Final = "python -m deploy.cli.sites check FILE"
WARNINGS: Final = {
    "sites_file": _SITES_CHECK,
    "templates": _SITES_CHECK,
    "emails": "docs/runbooks/MailFailures.md",
    "dkim": "docs/email.md#dkim-signatures-of-our-own",
    "access_token": "docs/email.md#xoauth2",
    "secret_files": "docs/destinations.md",
}
_ANY_WARNING: Final = "the log of the service has more"


async def check_services(admin: Admin) -> AsyncIterator[CheckResult]:
    """Check that each service is ready, and that no gateway has leads in its spool."""
    async with open_service_clients(admin.gateway_urls, admin.service_urls) as clients:
        services, gateways = await asyncio.gather(clients.read_readiness(), clients.read_gateways())
    if not services:
        yield warn("services", "not checked", "set FASTCORE_ADMIN_SERVICE_URLS: name=url,...")
    for name, health in services.items():
        if health.state == "up":
            yield ok("services", f"{name} is ready")
            for part, reason in _warnings(health):
                yield warn("services", f"{name}: {part}: {reason}", WARNINGS.get(part, _ANY_WARNING))
        else:
            yield fail("services", f"{name}: {_failed_parts(health)}", "docs/runbooks/ServiceDown.md")
    if not gateways:
        yield warn("spools", "not checked", "set FASTCORE_ADMIN_GATEWAY_URLS: url,...")
    for gateway in gateways:
        where = gateway.url if gateway.address is None else f"{gateway.url} ({gateway.address})"
        if gateway.status is None:
            todo = "start the gateway: a spool that cannot be read may hold leads"
            yield fail("spools", f"{where}: {gateway.reason}", todo)
            continue
        spool = gateway.status.get("spool")
        leads = spool.get("depth") if isinstance(spool, dict) else None
        if leads:
            yield warn("spools", f"{where}: {leads} leads buffered", "docs/runbooks/SpoolFilling.md")
        else:
            yield ok("spools", f"{where}: empty")


def _warnings(health: PartHealth) -> Iterator[tuple[str, str]]:
    """Yield name and reason of each part that works but reports a problem, such as an invalid sites file."""
    for name, part in (health.parts or {}).items():
        if isinstance(part, dict) and part.get("ok") and part.get("reason"):
            yield name, str(part["reason"])


def _failed_parts(health: PartHealth) -> str:
    reasons = {
        name: part.get("reason")
        for name, part in (health.parts or {}).items()
        if isinstance(part, dict) and not part.get("ok")
    }
    return ", ".join(f"{name}: {reason}" for name, reason in reasons.items()) or health.reason or "down"


async def check_mail(smtp: Smtp) -> AsyncIterator[CheckResult]:
    """Connect to the mail server and log in, as the notifier does. Then disconnect."""
    encrypted = smtp.implicit_tls or smtp.tls
    client = make_client(smtp, tls_context(smtp), "fastcore-doctor", MAIL_TIMEOUT_SECONDS)
    grant = smtp.grant()
    session = Session(client, AccessTokens(grant) if grant else None)
    where = f"{smtp.host}:{smtp.port}"
    try:
        async with asyncio.timeout(MAIL_TIMEOUT_SECONDS):
            await session.connect()
            await session.quit()
    except AccessTokenError as error:
        yield fail("mail", f"{where}: {error.reason}", "docs/email.md#xoauth2 has the steps of each provider")
        return
    except aiosmtplib.SMTPResponseException as error:
        yield fail("mail", f"{where} answered {error.code}", "docs/email.md explains the codes")
        return
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        yield fail("mail", f"{where}: {type(error).__name__}", "check SMTP_HOST, SMTP_PORT and SMTP_TLS")
        return
    finally:
        client.close()
    seen = f"{where}, {'TLS' if encrypted else 'no TLS'}, {_login(smtp)}"
    if encrypted or is_this_machine(smtp.host):
        yield ok("mail", seen)
    else:
        yield warn("mail", seen, "set SMTP_TLS=true, unless the network is this machine's own (compose)")


def _login(smtp: Smtp) -> str:
    if smtp.oauth_flow:
        return f"logged in with XOAUTH2 ({smtp.oauth_flow})"
    return "logged in" if smtp.user else "no login"
