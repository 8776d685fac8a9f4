"""`python -m deploy.cli.mail`: show an email of a site as it would be sent, or send it to an address."""

import asyncio
import sys
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Literal

import typer

from runtime.health import Health
from runtime.settings import load
from services.notifier.app import open_identities
from services.notifier.mail.message import Mail, UndeliverableError
from services.notifier.mail.samples import compose_sample
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.smtp.outcome import MailOutcome, MailStatus

app = typer.Typer(add_completion=False)
MailKind = Literal["welcome", "alert"]
SiteArgument = Annotated[str, typer.Argument(help="The site's name in the sites file, or default.")]
KindArgument = Annotated[
    MailKind, typer.Argument(help="The confirmation (welcome) or the team notification (alert).")
]
LocaleOption = Annotated[
    str | None, typer.Option(help="The locale of the lead, such as de-AT. Without it, the site's.")
]


@app.callback()
def main() -> None:
    """Show an email about an invented lead, or send it. Uses the settings of the notifier (docs/email.md)."""


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
    mail = _compose(load(Settings), site, kind, locale)
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
    try:
        return compose_sample(
            "welcome" if kind == "welcome" else "admin_alert",
            site,
            identities.of(site),
            datetime.now(UTC),
            locale=locale,
            address=address,
        )
    except UndeliverableError:
        sys.exit(f"not an email address: {address}")


async def _send(settings: Settings, mail: Mail) -> MailOutcome:
    async def nothing_to_commit() -> None: ...

    async with open_mailer(settings, Health(), asyncio.Event()) as mailer:
        return await mailer.send(mail, nothing_to_commit)


def _html_of(mail: Mail) -> bytes:
    body = message_from_bytes(mail.content, policy=policy.default).get_body(("html",))
    return str(body.get_content()).encode() if body else b""


if __name__ == "__main__":
    app()
