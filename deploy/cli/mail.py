"""`python -m deploy.cli.mail`: show or send an email of a site, make DKIM keys, report a returned email."""

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from contracts.failures import Kind
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.publisher import open_publisher
from runtime.settings import Kafka, load
from runtime.sites.dkim import check_domain, check_selector
from runtime.sites.file import load_sites
from services.flusher.bounces.report_publisher import publish_report
from services.flusher.bounces.reports import REPORT_MAX_BYTES, Report
from services.notifier.app import open_identities, open_signers
from services.notifier.mail.dkim_key import make_private_key, parse_private_key
from services.notifier.mail.dkim_signature import DkimSigner
from services.notifier.mail.dkim_signers import DkimSigners
from services.notifier.mail.message import Mail, UndeliverableError
from services.notifier.mail.samples import compose_sample, compose_sample_digest
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import MailOutcome, MailStatus

# EX_TEMPFAIL of sysexits.h: Postfix and others keep the message, and pipe it again later.
_TRY_AGAIN: Final = 75
app = typer.Typer(add_completion=False)
MailKind = Literal["welcome", "alert", "digest"]
SiteArgument = Annotated[str, typer.Argument(help="The site's name in the sites file, or default.")]
KindArgument = Annotated[
    MailKind,
    typer.Argument(help="The confirmation (welcome), the team notification (alert), or a list (digest)."),
]
LocaleOption = Annotated[
    str | None, typer.Option(help="The locale of the lead, such as de-AT. Without it, the site's.")
]


@app.callback()
def main() -> None:
    """Show an email about an invented lead, or send it, or make a DKIM key (docs/email.md).

    Uses the settings of the notifier.
    """


@app.command()
def preview(
    site: SiteArgument,
    kind: KindArgument,
    locale: LocaleOption = None,
    html: Annotated[bool, typer.Option("--html", help="Write only the HTML part.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="The file to write. Without it, standard output.")
    ] = None,
) -> None:
    """Write the email as it would be sent: headers, text and HTML (.eml)."""
    settings = load(Settings)
    mail = _compose(settings, site, kind, locale)
    mail = _open_signers(settings).sign(mail)
    content = _html_of(mail) if html else mail.content
    if output:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


@app.command()
def send(
    site: SiteArgument,
    kind: KindArgument,
    address: Annotated[str, typer.Argument(help="The address that gets the email.")],
    locale: LocaleOption = None,
) -> None:
    """Send the email to an address. Nobody else gets it, and nothing is stored.

    Exits with 1 if the mail server does not accept the email.
    """
    settings = load(Settings)
    mail = _compose(settings, site, kind, locale, address)
    outcome = asyncio.run(_send(settings, mail))
    if outcome.status is not MailStatus.SENT:
        reply = f"{outcome.code} {outcome.reply}" if outcome.code else outcome.reason
        sys.exit(f"not sent: {outcome.status}: {reply}")
    print(f"sent to {address}")


@app.command()
def dkim_key(
    selector: Annotated[str, typer.Argument(help="A new name for the key, such as fastcore1.")],
    domain: Annotated[str, typer.Argument(help="The domain of the sender, such as studio.example.")],
    output: Annotated[Path, typer.Option(help="The file to make for the private key.")],
    bits: Annotated[int, typer.Option(min=2048, max=4096, help="The length of the RSA key.")] = 2048,
) -> None:
    """Make a DKIM key: write the private key to a new file, and print the DNS record to publish."""
    selector = _checked("selector", check_selector, selector)
    domain = _checked("domain", check_domain, domain)
    text = make_private_key(bits)
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        sys.exit(f"{output}: {error.strerror}")
    with open(file, "w", encoding="ascii") as opened:  # noqa: PTH123 - a descriptor, not a path
        opened.write(text)
    _print_record(DkimSigner(domain, selector, parse_private_key(text)))


@app.command()
def dkim_record() -> None:
    """Print the DNS records of the keys that are configured, for the installation and for sites."""
    settings = load(Settings)
    signers = _open_signers(settings)
    configured = {each.record_name: each for each in signers.all}
    if not configured:
        sys.exit("no DKIM key is configured (docs/email.md#dkim-signatures-of-our-own)")
    for signer in configured.values():
        _print_record(signer)


def _checked(name: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        sys.exit(f"{name} {value!r}: {error}")


def _print_record(signer: DkimSigner) -> None:
    """Print the record for a form, and in the form of a zone file, whose strings have at most 255 bytes."""
    value = signer.record_value
    strings = " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))
    print(f"name   {signer.record_name}\ntype   TXT\nvalue  {value}")
    print(f"\nor, in a zone file:\n{signer.record_name}. 3600 IN TXT {strings}")


def _open_signers(settings: Settings) -> DkimSigners:
    return open_signers(settings, load_sites(settings.sites_file.path))


@app.command()
def bounce() -> None:
    """Report the returned email on standard input, as a mail server's pipe passes it. Needs only KAFKA_*.

    Exits with 0 if Kafka has its events, or if it is no report, and with 75 (try again later) if Kafka is
    unavailable or a setting is wrong: with another code, a mail server drops the report.
    """
    content = sys.stdin.buffer.read(REPORT_MAX_BYTES)
    while sys.stdin.buffer.read(REPORT_MAX_BYTES):  # a mail server expects that everything is read
        pass
    try:
        kafka = load(Kafka)
    except SystemExit as error:
        print(error.code, file=sys.stderr)
        raise typer.Exit(_TRY_AGAIN) from None
    try:
        report = asyncio.run(_publish(kafka, content))
    except DependencyUnavailable as error:
        print(f"not reported: {error.reason}", file=sys.stderr)
        raise typer.Exit(_TRY_AGAIN) from None
    print(f"{report.result}: {len(report.events)}", file=sys.stderr)


async def _publish(kafka: Kafka, content: bytes) -> Report:
    async with open_publisher(kafka, "bounce", Health()) as publisher:
        await asyncio.sleep(0)  # without events, the publisher would be cancelled before it starts
        return await publish_report(publisher, content)


def _compose(
    settings: Settings, site: str, kind: MailKind, locale: str | None, address: str | None = None
) -> Mail:
    """Compose the email. Exits with one line if the site is unknown or the address is invalid."""
    identities = open_identities(settings)
    known = identities.sites.by_name
    if known and site not in known:
        sys.exit(f"the sites file has no site {site}; its sites are {', '.join(known)}")
    for warning in identities.warnings(site):
        print(f"warning: {warning}", file=sys.stderr)
    identity, now = identities.of(site), datetime.now(UTC)
    try:
        if kind == "digest":
            return compose_sample_digest(site, identity, now, address=address)
        mail_kind: Kind = "welcome" if kind == "welcome" else "admin_alert"
        return compose_sample(mail_kind, site, identity, now, locale=locale, address=address)
    except UndeliverableError:
        sys.exit(f"not an email address: {address}")


async def _send(settings: Settings, mail: Mail) -> MailOutcome:
    async def nothing_to_commit() -> None: ...

    async with open_mailer(settings, Health(), asyncio.Event(), _open_signers(settings)) as mailer:
        return await mailer.send(mail, nothing_to_commit)


def _html_of(mail: Mail) -> bytes:
    body = message_from_bytes(mail.content, policy=policy.default).get_body(("html",))
    return str(body.get_content()).encode() if body else b""


if __name__ == "__main__":
    app()
