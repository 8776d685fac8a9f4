"""Checks of what the services are told. Nothing is connected, and no value of a secret is shown."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from deploy.cli.doctor.check_result import Finding, fail, is_this_machine, ok, warn
from deploy.settings import SERVICE_SETTINGS, MigrationSettings, missing_variables
from runtime.settings import Debug, Postgres, is_weak_token, load, named_tokens
from services.admin.settings import Settings as Admin
from services.flusher.settings import Settings as Flusher
from services.flusher.settings import is_exposed
from services.ingest.settings import Settings as Ingest

S = TypeVar("S", bound=BaseSettings)
GIBIBYTE = 1 << 30
# Those of docker-compose.yml, and of the examples in .env.example.
EXAMPLE_PASSWORDS = frozenset({"fastcore", "fastcore_owner", "password", "postgres"})
Judge = Callable[[str, str, str], Finding]


def read(settings: type[S]) -> S | str:
    """Read settings, or return the line that the service would end with."""
    try:
        return load(settings)
    except SystemExit as error:
        return str(error.code)


def examine_settings() -> Iterator[Finding]:
    """Look whether each service would start with what is given here."""
    for settings in SERVICE_SETTINGS:
        name = settings.__module__.split(".")[1]
        given = read(settings)
        if not isinstance(given, str):
            yield ok("settings", f"{name}: complete")
        elif lacking := missing_variables(settings):
            yield warn(
                "settings",
                f"{name}: not given here: {', '.join(lacking)}",
                "run the doctor where they are, for what hangs on them is not checked",
            )
        else:
            yield fail("settings", f"{name}: {given}", "mend the variable that it names")
    debug = read(Debug)
    if isinstance(debug, str):
        yield fail("debug", debug, "true or false")
        return
    if debug.on:
        yield warn("debug", "DEBUG is true", "production: unset it; it permits example tokens")
    else:
        yield ok("debug", "off")
    yield from _examine_tokens(debug=debug.on)
    yield from _examine_passwords(debug=debug.on)


def _examine_tokens(*, debug: bool) -> Iterator[Finding]:
    ingest, admin, flusher = read(Ingest), read(Admin), read(Flusher)
    given = {}
    if not isinstance(ingest, str):
        given["FASTCORE_SITE_INGEST_TOKEN"] = named_tokens(ingest.site_tokens, "")
    if not isinstance(admin, str):
        given["FASTCORE_ADMIN_TOKEN"] = named_tokens(admin.token, "")
    if not isinstance(flusher, str) and flusher.site_queue_token:
        given["FASTCORE_SITE_QUEUE_TOKEN"] = named_tokens(flusher.site_queue_token, "")
    judge = warn if debug else fail
    for variable, tokens in given.items():
        weak = [token for token in tokens if is_weak_token(token)]
        if weak:
            yield judge(
                "tokens",
                f"{variable}: {len(weak)} of {len(tokens)} are examples, short or repeat themselves",
                'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        else:
            yield ok("tokens", f"{variable}: {len(tokens)}, none an example, short or repetitive")
    yield from _examine_urls(judge, flusher)
    if {"FASTCORE_SITE_INGEST_TOKEN", "FASTCORE_ADMIN_TOKEN"} <= given.keys() and (
        given["FASTCORE_SITE_INGEST_TOKEN"].keys() & given["FASTCORE_ADMIN_TOKEN"]
    ):
        yield fail("tokens", "a site's token is an admin's, too", "give the site a token of its own")


def _examine_passwords(*, debug: bool) -> Iterator[Finding]:
    """Look whether a database's password is one that this repository shows to everybody."""
    given: dict[str, SecretStr | None] = {}
    postgres, migrate = read(Postgres), read(MigrationSettings)
    if not isinstance(postgres, str):
        given["DATABASE_URL"] = postgres.url
    if not isinstance(migrate, str):
        given["FASTCORE_MIGRATION_DATABASE_URL"] = migrate.migration_database_url
    for variable, url in given.items():
        if url is None:
            continue
        parts = urlsplit(url.get_secret_value())
        password = unquote(parts.password or "")
        if password in EXAMPLE_PASSWORDS or password == parts.username:
            judge = warn if debug or is_this_machine(parts.hostname) else fail
            todo = "ALTER ROLE ... PASSWORD, then change it here; with compose: docs/operations.md"
            yield judge("passwords", f"{variable}: the password is an example or the role's own name", todo)
        else:
            yield ok("passwords", f"{variable}: no example")


def _examine_urls(judge: Judge, flusher: Flusher | str) -> Iterator[Finding]:
    if isinstance(flusher, str):
        return
    urls = {"FASTCORE_SITE_QUEUE_URL": [site.queue_url for site in flusher.sites()]}
    urls["FASTCORE_FLUSHER_GATEWAY_URL"] = [flusher.gateway_url]
    for variable, given in urls.items():
        for url in filter(is_exposed, given):
            yield judge("urls", f"{variable}: {url} is not encrypted", "use https")


def examine_disk() -> Iterator[Finding]:
    """Look whether there is room for a full spool, where the spool is on this machine."""
    ingest = read(Ingest)
    folder = Path(os.environ.get("FASTCORE_INGEST_SPOOL_FOLDER") or ".fastcore/spool")
    bound = 256 << 20
    if not isinstance(ingest, str):
        folder, bound = ingest.spool_folder, ingest.spool_max_bytes
    if not folder.is_dir() and not folder.parent.is_dir():
        yield warn("disk", f"no spool at {folder} here", "run the doctor beside a gateway, too")
        return
    folder = folder if folder.is_dir() else folder.parent  # the gateway makes it when it first starts
    free = shutil.disk_usage(folder).free
    seen = f"{free / GIBIBYTE:.1f} GiB free for a spool of at most {bound / GIBIBYTE:.2f} GiB"
    if not os.access(folder, os.W_OK):
        yield fail("disk", f"{folder} cannot be written by this user", "give it to the gateway's user")
    elif free < bound:
        yield fail("disk", seen, "free some, or lower FASTCORE_INGEST_SPOOL_MAX_BYTES")
    else:
        yield ok("disk", seen)
