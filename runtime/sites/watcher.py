"""Applies a new version of the sites file while a service runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from runtime import metrics
from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError, parse_sites, read_bytes
from runtime.sites.model import Sites

CHECK_SECONDS: Final = 5.0
# An editor or a program may write a file in several steps, so a new content counts if it is the same after
# this time.
STABLE_SECONDS: Final = 0.5
PART: Final = "sites_file"

Apply = Callable[[Sites], Awaitable[None] | None]
"""Lets a service use a new version. If the service cannot, raises `SitesFileError` and changes nothing."""


def watch_sites(
    path: Path | None, loaded: Sites, health: Health, apply: Apply
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return a coroutine function that calls `apply` with each new version of the file.

    If `path` is None, the returned function does nothing.
    """
    return SitesWatcher(path, loaded, health, apply).run if path else _watch_nothing


async def _watch_nothing() -> None:
    pass


class SitesWatcher:
    """Reads the file every 5 s and calls `apply` with each valid new version.

    Compares the content, not the modification time. This detects a replaced file, a symbolic link to another
    file (a ConfigMap), and two edits within the clock's resolution.
    """

    def __init__(self, path: Path, loaded: Sites, health: Health, apply: Apply) -> None:
        self._path = path
        self._health = health
        self._apply = apply
        self._digest = loaded.digest
        self._rejected = ""
        self._log = logger("sites")
        self._report_valid()

    async def run(self) -> None:
        """Check the file until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Apply the file if its content has changed. An invalid file only causes a warning."""
        try:
            content = await self._read_stable()
        except SitesFileError as error:
            self._report_invalid(error, "unreadable")
            return
        digest = sha256(content).hexdigest()
        if digest == self._digest:
            if self._rejected:
                self._log.info("sites file is valid again", digest=digest)
                self._report_valid()
        else:
            # Also a version that was refused: a secret that it refers to may be there now.
            await self._use(content, digest)

    async def _use(self, content: bytes, digest: str) -> None:
        try:
            sites = parse_sites(content)
            applied = self._apply(sites)
            if applied is not None:
                await applied
        except SitesFileError as error:
            self._report_invalid(error, digest)
            return
        self._digest = digest
        self._log.info("sites file applied", digest=digest, sites=len(sites.by_name))
        self._report_valid()

    async def _read_stable(self) -> bytes:
        """Return the file's content. If it is new, wait until two readings in a row are equal.

        Reads in a thread, because a disk may hang.
        """
        content = await asyncio.to_thread(read_bytes, self._path)
        while sha256(content).hexdigest() not in (self._digest, self._rejected):
            await asyncio.sleep(STABLE_SECONDS)
            again = await asyncio.to_thread(read_bytes, self._path)
            if again == content:
                break
            content = again
        return content

    def _report_valid(self) -> None:
        self._rejected = ""
        self._health.set(PART, ok=True)
        metrics.SITES_FILE_INVALID.set(0)
        metrics.SITES_FILE.clear()
        metrics.SITES_FILE.labels(digest=self._digest[:12]).set(1)

    def _report_invalid(self, error: SitesFileError, version: str) -> None:
        """Warn of an invalid version. The service stays ready, because the previous version still applies."""
        if self._rejected != version:
            self._log.warning("sites file not applied", file=str(self._path), reason=str(error))
        self._rejected = version
        self._health.set(
            PART, ok=True, reason=f"warning: {self._path}: {error}. The version before still applies"
        )
        metrics.SITES_FILE_INVALID.set(1)
