"""`python -m deploy.cli.sites check FILE`: check a sites file before a roll-out."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from runtime.settings import Debug, load
from runtime.sites.destinations import Destination, is_reference
from runtime.sites.dkim import Dkim
from runtime.sites.file import SitesFileError, environment, read_sites
from runtime.sites.mail import AlertRule, Sender
from runtime.sites.model import KEYS, Captcha, Limits, Site
from runtime.sites.reply import Reply
from runtime.sites.secrets import check_secrets
from services.notifier.mail.site_templates import load_templates, mistakes, read_folders
from services.webhooks.destinations import Destinations
from services.webhooks.public_addresses import is_public

app = typer.Typer(add_completion=False)


@app.callback()
def main() -> None:
    """Check a sites file, such as the one that FASTCORE_SITES_FILE names (docs/sites.md)."""


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The sites file.")]) -> None:
    """Report the mistakes for which a service would refuse this file, and those in templates of emails.

    If there are none, show the settings of each site, including those from the table `defaults`. Also show
    the kind, the sites and the events of each destination. Prints no secret. The variables to which the file
    refers with `env:` must be set.

    Exits with 1 if the file has a mistake, else with 0.
    """
    try:
        sites = read_sites(file)
        check_secrets(sites, environment(), permit_weak=load(Debug).on)
        Destinations(sites, environment())  # also compiles its templates
        if problems := mistakes(load_templates(sites, read_folders(sites, file.parent), {})):
            raise SitesFileError(*problems)
    except SitesFileError as error:
        sys.exit(_mistakes(file, error.problems))
    counts = [_count(len(sites.by_name), "site")]
    if sites.destinations:
        counts.append(_count(len(sites.destinations), "destination"))
    print(f"{file}: {', '.join(counts)}, no mistakes, digest {sites.digest[:12]}")
    for name, site in sites.by_name.items():
        print("", name, *_lines(site), sep="\n")
    for name, destination in sites.destinations.items():
        print("", f"destination {name}", *_destination_lines(destination), sep="\n")


def _mistakes(file: Path, problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"{file}: {problems[0]}"
    return "\n".join([f"{file}: {_count(len(problems), 'mistake')}", *(f"  {each}" for each in problems)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lines(site: Site) -> Iterator[str]:
    values = [getattr(site, name) for name in Site.model_fields]
    for key, value in zip(KEYS, values, strict=True):
        if key == "alert_rules":
            yield from (f"  {key:16} {_rule(rule)}" for rule in value)
        elif (value or value == 0) and (text := _display(value)):
            yield f"  {key:16} {text}"


def _rule(rule: AlertRule) -> str:
    conditions = (("service", rule.service), ("locale", rule.locale))
    when = " and ".join(f"{name} {value}" for name, value in conditions if value)
    return f"{when}: {', '.join(rule.to)}"


def _destination_lines(destination: Destination) -> Iterator[str]:
    yield f"  {'kind':16} {destination.kind}"
    yield f"  {'sites':16} {', '.join(destination.sites) or 'all'}"
    yield f"  {'events':16} {', '.join(destination.events)}"
    if not destination.allow_private and _has_private_address(destination.url):
        yield "  note: address is not public: add allow_private = true if it is meant"


def _has_private_address(url: str) -> bool:
    """Return True if the URL names this machine or an address that is not public.

    Returns False for any other host name, which is not resolved, and for a reference (`env:`), which is not
    read.
    """
    host = "" if is_reference(url) else urlsplit(url).hostname or ""
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost"


def _display(value: Any) -> str:
    if isinstance(value, Sender):
        return f"{value.name} <{value.address}>" if value.name else value.address
    if isinstance(value, tuple):
        return ", ".join(each[:15] + "..." if each.startswith("sha256:") else each for each in value)
    if isinstance(value, Captcha):
        return f"{value.kind}: {value.secret}" if value.secret else value.kind
    if isinstance(value, Reply | Limits | Dkim):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_display(each)}" for name, each in value.items())
    return repr(value) if isinstance(value, str) and "\n" in value else str(value)


if __name__ == "__main__":
    app()
