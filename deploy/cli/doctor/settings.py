"""Checks of the services' settings. They connect to nothing and show no secret."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from deploy.cli.doctor.check_result import CheckResult, fail, is_this_machine, ok, warn
from deploy.settings import SERVICE_SETTINGS, MigrationSettings, missing_variables
from runtime.access_tokens import is_weak_token, named_tokens
from runtime.settings import Debug, Postgres, SitesFile, load
from runtime.sites.file import SitesFileError, environment, read_sites
from runtime.sites.model import Sites
from runtime.sites.secrets import check_secrets
from services.admin.settings import Settings as Admin
from services.flusher.settings import Settings as Flusher
from services.flusher.settings import is_exposed
from services.ingest.settings import Settings as Ingest

S = TypeVar("S", bound=BaseSettings)
GIBIBYTE = 1 << 30
# The passwords of docker-compose.yml, and of the examples in .env.example.
EXAMPLE_PASSWORDS = frozenset({"fastcore", "fastcore_owner", "password", "postgres"})
Severity = Callable[[str, str, str], CheckResult]
"""`warn` or `fail`."""


def read_settings(settings: type[S]) -> S | str:
    """Return the loaded settings. If they are invalid, return the message with which a service would exit."""
    try:
        return load(settings)
    except SystemExit as error:
        return str(error.code)


def check_settings(sites: Sites | SitesFileError | None) -> Iterator[CheckResult]:
    """Check whether each service would start with the settings of this environment.

    `sites` is what `read_sites_file` returned.
    """
    for settings in SERVICE_SETTINGS:
        name = settings.__module__.split(".")[1]
        loaded = read_settings(settings)
        if not isinstance(loaded, str):
            yield ok("settings", f"{name}: complete")
        elif missing := missing_variables(settings):
            yield warn(
                "settings",
                f"{name}: not set here: {', '.join(missing)}",
                "run the doctor where they are set; what depends on them is not checked here",
            )
        else:
            yield fail("settings", f"{name}: {loaded}", "correct the variable that the message names")
    debug = read_settings(Debug)
    if isinstance(debug, str):
        yield fail("debug", debug, "set it to true or false")
        return
    if debug.on:
        yield warn("debug", "DEBUG is true", "unset it in production: it permits example tokens")
    else:
        yield ok("debug", "off")
    if sites is not None:
        yield _check_sites_file(sites, debug=debug.on)
    yield from _check_tokens(debug=debug.on)
    yield from _check_passwords(debug=debug.on)


def read_sites_file() -> Sites | SitesFileError | None:
    """Return the content of the sites file, or the error if the file is invalid.

    Returns None if the settings of this environment name no file.
    """
    loaded = read_settings(SitesFile)
    path = None if isinstance(loaded, str) else loaded.path
    if path is None:
        return None
    try:
        return read_sites(path)
    except SitesFileError as error:
        return error


def _check_sites_file(sites: Sites | SitesFileError, *, debug: bool) -> CheckResult:
    path = load(SitesFile).path
    if isinstance(sites, Sites):
        try:
            check_secrets(sites, environment(), permit_weak=debug)
        except SitesFileError as error:
            problem = error
        else:
            return ok("sites-file", f"{path}: {len(sites.by_name)} sites, digest {sites.digest[:12]}")
    else:
        problem = sites
    return fail("sites-file", f"{path}: {problem}", "docs/sites.md explains the keys")


def _check_tokens(*, debug: bool) -> Iterator[CheckResult]:
    ingest, admin, flusher = read_settings(Ingest), read_settings(Admin), read_settings(Flusher)
    configured = {}
    if not isinstance(ingest, str) and ingest.site_tokens:
        configured["FASTCORE_SITE_INGEST_TOKEN"] = named_tokens(ingest.site_tokens, "")
    if not isinstance(admin, str):
        configured["FASTCORE_ADMIN_TOKEN"] = named_tokens(admin.token, "")
    if not isinstance(flusher, str) and flusher.site_queue_token:
        configured["FASTCORE_SITE_QUEUE_TOKEN"] = named_tokens(flusher.site_queue_token, "")
    severity = warn if debug else fail
    for variable, tokens in configured.items():
        weak = [token for token in tokens if is_weak_token(token)]
        if weak:
            yield severity(
                "tokens",
                f"{variable}: {len(weak)} of {len(tokens)} are examples, short or repetitive",
                'create one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        else:
            yield ok("tokens", f"{variable}: {len(tokens)}, none an example, short or repetitive")
    yield from _check_urls(severity, flusher)
    if {"FASTCORE_SITE_INGEST_TOKEN", "FASTCORE_ADMIN_TOKEN"} <= configured.keys() and (
        configured["FASTCORE_SITE_INGEST_TOKEN"].keys() & configured["FASTCORE_ADMIN_TOKEN"]
    ):
        yield fail("tokens", "a site's token is also an admin's token", "give the site a token of its own")


def _check_passwords(*, debug: bool) -> Iterator[CheckResult]:
    """Check that no database password is the role's name, or an example from this repository."""
    urls: dict[str, SecretStr | None] = {}
    postgres, migration = read_settings(Postgres), read_settings(MigrationSettings)
    if not isinstance(postgres, str):
        urls["DATABASE_URL"] = postgres.url
    if not isinstance(migration, str):
        urls["FASTCORE_MIGRATION_DATABASE_URL"] = migration.migration_database_url
    for variable, url in urls.items():
        if url is None:
            continue
        parts = urlsplit(url.get_secret_value())
        password = unquote(parts.password or "")
        if password in EXAMPLE_PASSWORDS or password == parts.username:
            severity = warn if debug or is_this_machine(parts.hostname) else fail
            todo = "ALTER ROLE ... PASSWORD, then change it here; with compose: docs/operations.md"
            seen = f"{variable}: the password is an example or the role's own name"
            yield severity("passwords", seen, todo)
        else:
            yield ok("passwords", f"{variable}: no example")


def _check_urls(severity: Severity, flusher: Flusher | str) -> Iterator[CheckResult]:
    if isinstance(flusher, str):
        return
    urls_of = {
        "FASTCORE_SITE_QUEUE_URL": [site.queue_url for site in flusher.sites()],
        "FASTCORE_FLUSHER_GATEWAY_URL": [flusher.gateway_url],
    }
    for variable, urls in urls_of.items():
        for url in filter(is_exposed, urls):
            yield severity("urls", f"{variable}: {url} is not encrypted", "use https")


def check_disk() -> Iterator[CheckResult]:
    """Check that a full spool fits on the disk, if the spool is on this machine."""
    ingest = read_settings(Ingest)
    folder = Path(os.environ.get("FASTCORE_INGEST_SPOOL_FOLDER") or ".fastcore/spool")
    limit = 256 << 20
    if not isinstance(ingest, str):
        folder, limit = ingest.spool_folder, ingest.spool_max_bytes
    if not folder.is_dir() and not folder.parent.is_dir():
        yield warn("disk", f"there is no spool in {folder}", "run the doctor beside a gateway, too")
        return
    folder = folder if folder.is_dir() else folder.parent  # the gateway creates the folder at its first start
    free = shutil.disk_usage(folder).free
    seen = f"{free / GIBIBYTE:.1f} GiB free for a spool of at most {limit / GIBIBYTE:.2f} GiB"
    if not os.access(folder, os.W_OK):
        yield fail("disk", f"this user cannot write {folder}", "change its owner to the gateway's user")
    elif free < limit:
        yield fail("disk", seen, "free disk space, or lower FASTCORE_INGEST_SPOOL_MAX_BYTES")
    else:
        yield ok("disk", seen)
