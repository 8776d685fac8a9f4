"""Reads the sites file and the secrets that it refers to. A mistake raises `SitesFileError`."""

import difflib
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runtime.access_tokens import TOKEN_MIN_LENGTH, is_weak_token
from runtime.sites.model import KEYS, SITE_NAME, Site, Sites, shared_values

MAX_BYTES: Final = 1024 * 1024
DigestedKey = Literal["tokens", "hook_keys"]
_DIGESTED: Final[tuple[DigestedKey, ...]] = ("tokens", "hook_keys")
_TABLES: Final = ("defaults", "sites")
_MESSAGES: Final = {
    "string_type": "must be text in quotes",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "dict_type": "must be a table",
    "dataclass_type": "must be text in quotes",
}


class SitesFileError(Exception):
    """The sites file has a mistake. The message names the key and the reason, but no value."""


def read_sites(path: Path) -> Sites:
    """Read and check the file. Raises `SitesFileError`."""
    return parse_sites(read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of the file. Raises `SitesFileError` if it is unreadable or larger than 1 MiB."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SitesFileError(f"cannot be read ({error.strerror})") from error
    if len(content) > MAX_BYTES:
        raise SitesFileError(f"is larger than {MAX_BYTES // 1024} KiB")
    return content


def parse_sites(content: bytes) -> Sites:
    """Check the content of the file and return its sites. Raises `SitesFileError` with all its mistakes."""
    document = _parse_toml(content)
    problems = [f"{key}: {_unknown_key(key, _TABLES)}" for key in document if key not in _TABLES]
    defaults, tables = document.get("defaults", {}), document.get("sites", {})
    if not isinstance(defaults, dict) or not isinstance(tables, dict):
        raise SitesFileError("defaults and sites: must be tables")
    if not tables:
        problems.append("sites: names no site; give at least one table [sites.NAME]")
    wrong_defaults = _problems_of("defaults", defaults)
    sites: dict[str, Site] = {}
    for name, table in tables.items():
        if not SITE_NAME.fullmatch(name):
            problems.append("sites: a site's name is 1 to 100 letters, digits, dots, dashes or underscores")
        elif not isinstance(table, dict):
            problems.append(f"sites.{name}: must be a table")
        elif own := _problems_of(f"sites.{name}", table):
            problems += own
        elif not wrong_defaults:
            limits = {**defaults.get("limits", {}), **table.get("limits", {})}
            sites[name] = Site.model_validate({**defaults, **table, "limits": limits})
    problems += wrong_defaults
    if problems := problems or shared_values(sites):
        raise SitesFileError("; ".join(dict.fromkeys(problems)))
    return Sites(sites, sha256(content).hexdigest())


def _parse_toml(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise SitesFileError("is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SitesFileError(f"is not TOML: {error}") from None
    except ValueError:  # Python converts no integer of more than 4,300 digits
        raise SitesFileError("has a number with too many digits") from None
    except RecursionError:
        raise SitesFileError("is nested too deeply") from None


def _problems_of(where: str, table: Mapping[str, Any]) -> list[str]:
    try:
        Site.model_validate(table)
    except ValidationError as error:
        return [
            f"{'.'.join([where, *map(str, item['loc'])])}: {_message(item)}"
            for item in error.errors(include_input=False, include_url=False)
        ]
    return []


def _message(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown_key(str(item["loc"][-1]), KEYS)
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return _MESSAGES.get(item["type"], "is not valid")


def _unknown_key(key: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(key, list(known), n=1)
    return f"is not a known key (did you mean {similar[0]}?)" if similar else "is not a known key"


def exit_with(path: Path | None, error: SitesFileError) -> NoReturn:
    """Exit with one line that names the file, the key and the reason."""
    sys.exit(f"wrong sites file: {path}: {error} (docs/sites.md)")


def load_sites(path: Path | None) -> Sites:
    """Read the file at a service's start, or exit with the line that names the mistake."""
    if path is None:
        return Sites()
    try:
        return read_sites(path)
    except SitesFileError as error:
        exit_with(path, error)


def environment() -> dict[str, str]:
    """Return the variables that `env:` refers to: from the environment, or else from `.env`."""
    both = {**dotenv_values(".env"), **os.environ}
    return {name: value for name, value in both.items() if value}


def check_secrets(sites: Sites, variables: Mapping[str, str], *, permit_weak: bool) -> None:
    """Resolve all secrets of the sites, as the gateway does. Raises `SitesFileError` for an unusable one."""
    for key in _DIGESTED:
        resolve_digests(sites, key, variables, permit_weak=permit_weak)
    resolve_signing_secrets(sites, variables)
    resolve_captcha_secrets(sites, variables, variables.get("FASTCORE_SITE_INGEST_TOKEN", ""))


def resolve_digests(
    sites: Sites, key: DigestedKey, variables: Mapping[str, str], *, permit_weak: bool
) -> dict[bytes, str]:
    """Return a dict from the SHA-256 digest of each secret under `key` to the name of the site that has it.

    Raises `SitesFileError` if a variable is not set, if two sites have the same secret or, without
    `permit_weak`, if a secret is weak.
    """
    digests: dict[bytes, str] = {}
    for name, site in sites.by_name.items():
        for reference in getattr(site, key):
            where = f"sites.{name}.{key}"
            digest = _resolve_digest(where, reference, variables, permit_weak=permit_weak)
            if (owner := digests.setdefault(digest, name)) != name:
                raise SitesFileError(f"{where}: the site {owner} has the same value")
    return digests


def resolve_signing_secrets(sites: Sites, variables: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the secrets that verify form builders' signatures: by site name, then by form builder.

    Raises `SitesFileError` if a variable is not set.
    """
    secrets: dict[str, dict[str, str]] = {}
    for name, site in sites.by_name.items():
        for builder, reference in site.signing_secrets.items():
            variable = reference.removeprefix("env:")
            where = f"sites.{name}.signing_secrets.{builder}"
            secrets.setdefault(name, {})[builder] = _read_variable(where, variable, variables)
    return secrets


def resolve_captcha_secrets(sites: Sites, variables: Mapping[str, str], default: str) -> dict[str, str]:
    """Return the captcha secret of each site that has a captcha, by site name.

    `default` is the secret of an ALTCHA captcha for which the file sets no secret.
    Raises `SitesFileError` if a variable is not set, or if `default` is needed and empty.
    """
    secrets: dict[str, str] = {}
    for name, site in sites.by_name.items():
        if site.captcha is None:
            continue
        where, reference = f"sites.{name}.captcha.secret", site.captcha.secret
        secret = _read_variable(where, reference.removeprefix("env:"), variables) if reference else default
        if not secret:
            raise SitesFileError(f"{where}: is missing: altcha needs it without FASTCORE_SITE_INGEST_TOKEN")
        secrets[name] = secret
    return secrets


def _read_variable(where: str, variable: str, variables: Mapping[str, str]) -> str:
    secret = variables.get(variable, "").strip()
    if not secret:
        raise SitesFileError(f"{where}: the variable {variable} is not set")
    return secret


def _resolve_digest(where: str, reference: str, variables: Mapping[str, str], *, permit_weak: bool) -> bytes:
    kind, _, value = reference.partition(":")
    if kind == "sha256":
        return bytes.fromhex(value)
    secret = _read_variable(where, value, variables)
    if not permit_weak and is_weak_token(secret):
        raise SitesFileError(
            f"{where}: the value of {value} is an example, shorter than {TOKEN_MIN_LENGTH} characters"
            " or repeats itself"
        )
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
