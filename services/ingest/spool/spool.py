"""The gateway's own disk, for the time that Kafka is away: a lead is safe here, and published later.

Overflow, not detour: Kafka first. What is decided about a lead lives elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from runtime import metrics
from runtime.failures import DependencyUnavailable, PermanentError
from runtime.logs import logger
from services.ingest.lead_record import LeadRecord
from services.ingest.spool.damaged_segments import prune_damaged
from services.ingest.spool.segments import DAMAGED, SUFFIX, Segment, SpoolEntry, SpoolFolder

SEGMENT_MAX_BYTES: Final = 1 << 20
PUBLISH_BATCH_SIZE: Final = 100
# An fsync that takes longer than this is a disk that failed: the client gets its 503.
APPEND_TIMEOUT_SECONDS: Final = 5.0


class SpoolUnavailable(DependencyUnavailable):
    """The spool is full or its disk fails: refuse the lead, so that the site keeps it."""

    def __init__(self, reason: str) -> None:
        super().__init__("spool", reason)


class Spool:
    """Bounded, fsynced, first in first out. One folder a worker; dead workers' folders are adopted."""

    def __init__(
        self, root: Path, max_bytes: int, max_leads: int, now: Callable[[], float] = time.time
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_leads = max_leads
        self._now = now
        self._folder: SpoolFolder | None = None
        self._segments: list[Segment] = []
        self._unavailable = 0  # segments of dead workers whose folder cannot be adopted now
        self.damaged_files = 0
        self._waiting: list[tuple[SpoolEntry | None, asyncio.Future[None]]] = []  # None: a probe
        self._wake = asyncio.Event()
        self._files = asyncio.Lock()  # one thread at a time in the folder
        self._log = logger("spool")
        metrics.SPOOL_LEADS.set_function(lambda: self.leads)
        metrics.SPOOL_BYTES.set_function(lambda: self.bytes)
        metrics.SPOOL_FULL.set_function(lambda: max(self.leads / max_leads, self.bytes / max_bytes))
        metrics.SPOOL_DAMAGED_FILES.set_function(lambda: self.damaged_files)
        metrics.SPOOL_OLDEST_AGE.set_function(lambda: self.oldest_age_seconds or 0.0)

    @property
    def leads(self) -> int:
        """Return how many leads wait here. Never 0 while there is a file that could not be read."""
        return self._unavailable + sum(segment.leads - segment.published for segment in self._segments)

    @property
    def drainable(self) -> bool:
        """Return True where there is a file to publish or to remove, whatever it holds."""
        return bool(self._segments)

    @property
    def bytes(self) -> int:
        """Return how much disk they take."""
        return sum(segment.bytes for segment in self._segments)

    @property
    def oldest_age_seconds(self) -> float | None:
        """Return how long the oldest lead has waited, None where none does."""
        oldest = min((segment.oldest_at for segment in self._segments), default=None)
        return None if oldest is None else max(0.0, self._now() - oldest)

    async def keep(self, record: LeadRecord) -> None:
        """Return once the record is on the disk. Raises `SpoolUnavailable`."""
        await self._write_one(SpoolEntry(record, self._now()))
        metrics.LEADS_SPOOLED.inc()

    async def check(self) -> None:
        """Return if a lead could be written now: the disk is tried. Raises `SpoolUnavailable`."""
        await self._write_one(None)

    async def _write_one(self, spooled: SpoolEntry | None) -> None:
        if self.leads + len(self._waiting) >= self._max_leads or self.bytes >= self._max_bytes:
            raise SpoolUnavailable("spool is full")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((spooled, done))
        self._wake.set()
        try:
            await asyncio.wait_for(done, APPEND_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise SpoolUnavailable("spool's disk does not answer") from error

    async def write(self) -> None:
        """Write what waits, many records to one fsync, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            batch = [(spooled, done) for spooled, done in batch if not done.done()]
            if not batch:
                continue
            try:
                async with self._files:
                    await asyncio.to_thread(self._append, [spooled for spooled, _ in batch if spooled])
            except OSError as error:
                self._log.error("spool not written", reason=type(error).__name__, errno=error.errno)
                for _, done in batch:
                    if not done.done():
                        done.set_exception(SpoolUnavailable("spool's disk failed"))
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    def _append(self, records: Sequence[SpoolEntry]) -> None:
        if self._folder is None:
            self._folder = SpoolFolder.create(self._root)
        if not records:
            self._folder.probe()
            return
        path, size = self._folder.append(records, SEGMENT_MAX_BYTES)
        # Not always the last one: what was adopted may be younger.
        known = next((segment for segment in self._segments if segment.path == path), None)
        if known:
            known.leads += len(records)
            known.bytes += size
        else:
            self._segments.append(Segment(self._folder, path, len(records), size, records[0].at))

    async def adopt(self) -> None:
        """Take over what dead workers left; the oldest goes first. Raises `OSError`."""
        # Beside `keep`, not before it: a large spool takes seconds to read.
        try:
            found = await asyncio.to_thread(self._adopt, self._folder.path if self._folder else None)
        except OSError:
            self._unavailable = max(1, self._unavailable)  # unknown is not empty
            raise
        async with self._files:
            for segment in self._segments:
                if not segment.counted:
                    await asyncio.to_thread(self._count, segment)
            if found:
                self._segments = sorted([*found, *self._segments], key=lambda segment: segment.oldest_at)
        if found:
            self._log.warning("adopted a dead worker's spool", leads=sum(s.leads for s in found))

    def _adopt(self, own: Path | None) -> list[Segment]:
        with contextlib.suppress(OSError):  # no reason to leave leads unadopted
            prune_damaged(self._root, self._now())
        found, unavailable, damaged = list[Segment](), 0, 0
        for path in SpoolFolder.all_in(self._root):
            try:
                damaged += len(SpoolFolder.files(path, DAMAGED))
                if path != own and (folder := SpoolFolder.claim(path)):
                    found += self._take_over(folder)
            except FileNotFoundError:
                pass  # its last owner has just taken it away
            except OSError as error:
                unavailable += _files_at_least(path)
                self._log.error("spool not adopted", folder=path.name, errno=error.errno)
        self._unavailable, self.damaged_files = unavailable, damaged
        return found

    def _take_over(self, folder: SpoolFolder) -> list[Segment]:
        try:
            paths = folder.segments()
        except OSError:
            folder.close()  # to be adopted at the next try
            raise
        found = [Segment.unread(folder, path) for path in paths]
        for segment in found:
            self._count(segment)
        if not found:
            folder.close()
        return found

    def _count(self, segment: Segment) -> None:
        """Note what a segment holds; one that cannot be read now is counted at the next try."""
        try:
            segment.read()
        except OSError as error:
            self._log.error("spool not read", file=segment.path.name, errno=error.errno)

    async def drain(self, send: Callable[[LeadRecord], Awaitable[object]]) -> None:
        """Publish everything, the oldest first; a file goes once Kafka has acknowledged all of it.

        Raises what `send` raises; what was acknowledged before is not sent again by this process. Raises
        `OSError` of a file that cannot be read or removed, after all the others: it hides none of them.
        """
        failed: list[tuple[Segment, OSError]] = []
        while left := [each for each in self._segments if all(each is not one for one, _ in failed)]:
            try:
                await self._publish(left[0], send)
            except OSError as error:
                failed.append((left[0], error))
        if failed:
            raise failed[0][1]

    async def _publish(self, segment: Segment, send: Callable[[LeadRecord], Awaitable[object]]) -> None:
        async with self._files:
            if segment.folder is self._folder:
                segment.folder.seal()
            read = await asyncio.to_thread(segment.read)
        records = [spooled.record for spooled in read if spooled]
        while segment.published < len(records):
            # One alone first: it tells whether Kafka is back before the others follow.
            size = PUBLISH_BATCH_SIZE if segment.published else 1
            chunk = records[segment.published : segment.published + size]
            answers = await asyncio.gather(*map(send, chunk), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, PermanentError):  # kept in its file, and in nobody's way
                    segment.refused += 1
                    self._log.error("spool has a lead that kafka never takes", reason=answer.reason)
                elif isinstance(answer, BaseException):
                    raise answer
                segment.published += 1
        damaged = len(read) - len(records) + segment.refused
        if damaged:
            metrics.SPOOL_DAMAGED.inc(damaged)
            self._log.error("spool had damaged lines, file kept", file=segment.path.name, lines=damaged)
        await self._remove(segment, damaged=bool(damaged))

    async def _remove(self, segment: Segment, *, damaged: bool) -> None:
        async with self._files:
            await asyncio.to_thread(segment.folder.remove, segment.path, damaged=damaged)
            self._segments.remove(segment)
            emptied = all(other.folder is not segment.folder for other in self._segments)
            if emptied and segment.folder is not self._folder:
                await asyncio.to_thread(segment.folder.close)

    def close(self) -> None:
        """Let go of the folders; what is in them is adopted by whoever starts next."""
        folders = {id(segment.folder): segment.folder for segment in self._segments}
        if self._folder:
            folders[id(self._folder)] = self._folder
        for folder in folders.values():
            with contextlib.suppress(OSError):
                folder.close()


def _files_at_least(path: Path) -> int:
    # A folder that cannot be read may hold some.
    with contextlib.suppress(OSError):
        return len(SpoolFolder.files(path, SUFFIX))
    return 1
