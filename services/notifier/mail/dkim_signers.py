"""Finds the DKIM key of a mail's sender, and signs the mail with it.

Without a configured key, mails are sent as they are.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from runtime import metrics
from runtime.health import Health
from runtime.logs import logger
from runtime.reading_thread import ReadingThread
from runtime.sites.file import SitesFileError
from runtime.sites.model import Sites
from runtime.sites.secrets import resolve_dkim_keys
from services.notifier.mail.dkim_key import parse_private_key
from services.notifier.mail.dkim_signature import DkimSigner
from services.notifier.mail.message import Mail
from services.notifier.settings import Settings

PART: Final = "dkim"
READ_SECONDS: Final = 10.0


class DkimKeyError(Exception):
    """The installation's key is unusable. The message names the variable and what to do."""


class DkimSigners:
    """Signs mails with the key of their sender's site, or else with the installation's key.

    The installation's key signs mails from its domain and its subdomains.
    """

    def __init__(self, settings: Settings, sites: Sites, variables: Mapping[str, str]) -> None:
        """Read the keys.

        Raises `SitesFileError` if the key of a site is unusable, and `DkimKeyError` if that of the
        installation is.

        Reads the files of keys, and blocks if one hangs: call the constructor before the process serves
        anything. `variables` are the environment variables to which the sites file may refer.
        """
        self._from_email = settings.from_email
        self._variables = variables
        self.default = _default_signer(settings)
        self.by_sender = self._read(sites)
        self._thread = ReadingThread[dict[str, DkimSigner]]("dkim keys")
        self._log = logger("dkim")

    def _read(self, sites: Sites) -> dict[str, DkimSigner]:
        return read_signers(sites, self._from_email, self._variables)

    async def read(self, sites: Sites) -> dict[str, DkimSigner]:
        """Return the keys of a new version of the sites file, to be assigned to `by_sender`.

        Raises `SitesFileError` if a key is unusable, or if its file does not answer.
        """
        try:
            return await self._thread.run(partial(self._read, sites), READ_SECONDS)
        except TimeoutError:
            raise SitesFileError(
                f"the files of the DKIM keys do not answer within {READ_SECONDS:g} s"
            ) from None

    @property
    def all(self) -> list[DkimSigner]:
        """Return the installation's signer, if there is one, and those of the sites."""
        return [*([self.default] if self.default else []), *self.by_sender.values()]

    def of(self, sender: str) -> DkimSigner | None:
        """Return the signer of mails from this address, or None."""
        if signer := self.by_sender.get(sender):
            return signer
        if self.default and self.default.aligns_with(sender.rpartition("@")[2]):
            return self.default
        return None

    def sign(self, mail: Mail, health: Health | None = None) -> Mail:
        """Return the mail with a signature, or unchanged if there is no key for its sender.

        A mail that cannot be signed is returned unsigned, with a warning in the metrics, the log and
        `health`. The cause is in this process, so waiting would never end, and SPF may let the mail pass.
        """
        signer = self.of(mail.sender)
        if signer is None:
            return mail
        try:
            signed = replace(mail, content=signer.sign(mail.content, int(time.time())))
        except Exception as error:  # noqa: BLE001 - a lost mail is worse than an unsigned one
            metrics.MAILS_UNSIGNED.inc()
            self._log.error("mail not signed", domain=signer.domain, error=type(error).__name__)
            self._report(health, f"warning: mails of {signer.domain} are sent without a signature")
            return mail
        self._report(health, "")
        return signed

    def _report(self, health: Health | None, reason: str) -> None:
        if health is not None:
            health.set(PART, ok=True, reason=reason)


def _default_signer(settings: Settings) -> DkimSigner | None:
    """Return the signer with the installation's key, or None if there is no key. Raises `DkimKeyError`."""
    dkim = settings.dkim
    if dkim.selector is None:
        return None
    if dkim.private_key_file is not None:
        variable = "FASTCORE_DKIM_PRIVATE_KEY_FILE"
        try:
            text = dkim.private_key_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise DkimKeyError(f"{variable}: {dkim.private_key_file} cannot be read") from error
    else:
        variable = "FASTCORE_DKIM_PRIVATE_KEY"
        text = dkim.private_key.get_secret_value() if dkim.private_key else ""
    try:
        key = parse_private_key(text)
    except ValueError as error:
        raise DkimKeyError(f"{variable}: the value {error}") from None
    return DkimSigner(dkim.domain or settings.from_email.rpartition("@")[2].lower(), dkim.selector, key)


def read_signers(sites: Sites, from_email: str, variables: Mapping[str, str]) -> dict[str, DkimSigner]:
    """Return the signer of each sender's address for which the sites file has a key.

    Sites without a sender of their own send from `from_email`. Raises `SitesFileError` if a key is unusable,
    if its domain is not that of the sender, or if two sites with one sender have different keys.
    """
    texts = resolve_dkim_keys(sites, variables)
    signers: dict[str, DkimSigner] = {}
    owners: dict[str, str] = {}
    for name, sender, signer in _site_signers(sites, from_email, texts):
        owner = owners.setdefault(sender, name)
        known = signers.setdefault(sender, signer)
        if (known.record_name, known.public_value) != (signer.record_name, signer.public_value):
            raise SitesFileError(f"sites.{name}.dkim: the site {owner} has the same sender, but another key")
    return signers


def _site_signers(
    sites: Sites, from_email: str, texts: Mapping[str, str]
) -> Iterator[tuple[str, str, DkimSigner]]:
    for name, text in texts.items():
        site = sites.by_name[name]
        if site.dkim is None:
            continue
        sender = site.sender.address if site.sender else from_email
        domain = sender.rpartition("@")[2].lower()
        try:
            key = parse_private_key(text)
        except ValueError as error:
            raise SitesFileError(f"sites.{name}.dkim.key: the value {error}") from None
        signer = DkimSigner(site.dkim.domain or domain, site.dkim.selector, key)
        if not signer.aligns_with(domain):
            raise SitesFileError(
                f"sites.{name}.dkim.domain: must be the domain of the sender, {domain}, or one above it"
            )
        yield name, sender, signer
