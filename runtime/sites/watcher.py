"""Applies a new version of the sites file while a service runs."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from runtime import metrics
from runtime.health import Health
from runtime.logs import logger
from runtime.sites.file import SitesFileError, parse_sites, read_bytes
from runtime.sites.model import Sites
from runtime.sites.watched_files import FileReader, FileWarning, check_repeatedly
from runtime.worker import current_worker

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
        self._apply = apply
        self._digest = loaded.digest
        # The version that was not applied last.
        self._rejected = ""
        self._reader = FileReader[bytes]("sites file", "does not answer")
        self._warning = FileWarning(health, PART, "sites", "sites file not applied")
        self._log = logger("sites")
        self._report_valid()

    async def run(self) -> None:
        """Check the file until cancelled."""
        await check_repeatedly(self.check)

    async def check(self) -> None:
        """Apply the file if its content has changed. An invalid file only causes a warning."""
        reading = partial(read_bytes, self._path)
        try:
            content = await self._reader.read_stable(reading, self._is_known)
        except SitesFileError as error:
            self._report_invalid(error, "unreadable")
            return
        if content is None:
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
        metrics.SITES_FILE.labels(digest=self._digest[:12]).set(0)
        self._digest = digest
        self._log.info("sites file applied", digest=digest, sites=len(sites.by_name))
        self._report_valid()

    def _is_known(self, content: bytes) -> bool:
        return sha256(content).hexdigest() in (self._digest, self._rejected)

    def _report_valid(self) -> None:
        self._rejected = ""
        self._warning.show("")
        metrics.SITES_FILE_INVALID.set(0)
        if current_worker() is None:  # files of workers keep their series; their page leaves out a 0
            metrics.SITES_FILE.clear()
        metrics.SITES_FILE.labels(digest=self._digest[:12]).set(1)

    def _report_invalid(self, error: SitesFileError, version: str) -> None:
        """Warn of an invalid version. The service stays ready, because the previous version still applies."""
        self._rejected = version
        self._warning.show(f"{self._path}: {error}. The version before still applies")
        metrics.SITES_FILE_INVALID.set(1)
