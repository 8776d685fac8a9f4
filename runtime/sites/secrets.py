"""Reads the secrets that the sites file refers to. An unusable secret raises `SitesFileError`."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from runtime.access_tokens import TOKEN_MIN_LENGTH, is_weak_token
from runtime.sites.destinations import Destination, check_url, is_reference
from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites

DigestedKey = Literal["tokens", "hook_keys"]
_DIGESTED: Final[tuple[DigestedKey, ...]] = ("tokens", "hook_keys")
_SECRET_MAX_BYTES: Final = 10_000
_KEY_FORM: Final = "must be whsec_ and 24 to 64 bytes in base64 (docs/destinations.md)"


def check_secrets(sites: Sites, variables: Mapping[str, str], *, permit_weak: bool) -> None:
    """Read all secrets, as services do at their start. Raises `SitesFileError` if one is unusable."""
    for key in _DIGESTED:
        resolve_digests(sites, key, variables, permit_weak=permit_weak)
    resolve_signing_secrets(sites, variables)
    resolve_captcha_secrets(sites, variables, variables.get("FASTCORE_SITE_INGEST_TOKEN", ""))
    resolve_destinations(sites, variables)
    resolve_dkim_keys(sites, variables)


def resolve_digests(
    sites: Sites, key: DigestedKey, variables: Mapping[str, str], *, permit_weak: bool
) -> dict[bytes, str]:
    """Return a dict from the SHA-256 digest of each secret under `key` to the name of the site that has it.

    Raises `SitesFileError` if a variable is not set, if two sites have the same secret, or if a secret is
    weak. With `permit_weak`, a weak secret is accepted.
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


def resolve_dkim_keys(sites: Sites, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the text of the DKIM key of each site that has one, by site name.

    Raises `SitesFileError` if a variable is not set, or if a file cannot be read.
    """
    return {
        name: _read_reference(f"sites.{name}.dkim.key", site.dkim.key, variables)
        for name, site in sites.by_name.items()
        if site.dkim
    }


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


@dataclass(frozen=True)
class ResolvedDestination:
    """A destination whose references are replaced by their values. Its repr does not show the values."""

    settings: Destination
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    canary_url: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.settings.name


def resolve_destinations(sites: Sites, variables: Mapping[str, str]) -> dict[str, ResolvedDestination]:
    """Return each destination by name, with its URL, secrets and headers.

    Raises `SitesFileError` in these cases:

    - A variable is not set, or a secret's file cannot be read.
    - A URL or a header is invalid.
    - A secret is not 24 to 64 bytes in base64, as Standard Webhooks 1.0 requires.
    """
    return {name: _resolve_destination(each, variables) for name, each in sites.destinations.items()}


def _resolve_destination(destination: Destination, variables: Mapping[str, str]) -> ResolvedDestination:
    where = f"destinations.{destination.name}"
    url = _resolve_url(f"{where}.url", destination.url, variables)
    canary_url = _resolve_url(f"{where}.canary_url", destination.canary_url or "", variables)
    secrets = tuple(_read_reference(f"{where}.secret", each, variables) for each in destination.secret)
    for reference, secret in zip(destination.secret, secrets, strict=True):
        if not _is_signing_secret(secret):
            raise SitesFileError(f"{where}.secret: the value of {reference} {_KEY_FORM}")
    headers = {
        name: _read_reference(f"{where}.headers.{name}", value, variables) if is_reference(value) else value
        for name, value in destination.headers.items()
    }
    if wrong := [name for name, value in headers.items() if not (value.isascii() and value.isprintable())]:
        raise SitesFileError(f"{where}.headers.{wrong[0]}: must be printable ASCII")
    return ResolvedDestination(destination, url, secrets, headers, canary_url)


def _resolve_url(where: str, url: str, variables: Mapping[str, str]) -> str:
    if not is_reference(url):
        return url
    try:
        return check_url(_read_reference(where, url, variables))
    except ValueError as error:
        raise SitesFileError(f"{where}: the value of {url} {error}") from None


def _is_signing_secret(secret: str) -> bool:
    try:
        return 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    except ValueError:
        return False


def _read_reference(where: str, reference: str, variables: Mapping[str, str]) -> str:
    """Return what `env:VARIABLE` or `file:/PATH` stands for. Raises `SitesFileError`."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        return _read_variable(where, place, variables)
    try:
        with Path(place).open("rb") as file:
            secret = file.read(_SECRET_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret:
        raise SitesFileError(f"{where}: the file {place} cannot be read, or is empty")
    return secret


def _read_variable(where: str, variable: str, variables: Mapping[str, str]) -> str:
    secret = variables.get(variable, "").strip()
    if not secret:
        raise SitesFileError(
            f"{where}: the variable {variable} is not set: set it where this runs, or in .env"
        )
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
