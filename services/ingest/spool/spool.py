"""The gateway's disk buffer: used only while Kafka is unavailable.

`LeadWriter` decides when to append to it and when to drain it.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import Gauge

from contracts.lead_record import LeadRecord
from runtime import metrics
from runtime.failures import DependencyUnavailable, PermanentError
from runtime.logs import logger
from services.ingest.spool.damaged_segments import prune_damaged
from services.ingest.spool.entries import SpoolEntry
from services.ingest.spool.folder import DAMAGED_SUFFIX, SpoolFolder
from services.ingest.spool.segments import Segment
from services.ingest.spool.totals import SpoolTotals

SEGMENT_MAX_BYTES: Final = 1 << 20
PUBLISH_BATCH_SIZE: Final = 100
# A disk whose fsync takes longer counts as failed, and the client gets a 503.
APPEND_TIMEOUT_SECONDS: Final = 5.0


class SpoolUnavailable(DependencyUnavailable):
    """The spool is full or its disk fails. The caller must reject the lead, so that the site retries it."""

    def __init__(self, reason: str) -> None:
        super().__init__("spool", reason)


class Spool:
    """A bounded, fsynced FIFO queue on disk.

    Each worker process writes to a folder of its own, and adopts the folders of dead workers. With `totals`,
    the limits apply to the sum of all workers of the gateway.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int,
        max_leads: int,
        now: Callable[[], float] = time.time,
        totals: SpoolTotals | None = None,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_leads = max_leads
        self._now = now
        self._totals = totals
        self._folder: SpoolFolder | None = None
        self._segments: list[Segment] = []
        self._unadopted_segments = 0  # in folders of dead workers that cannot be adopted now
        self.damaged_files = 0
        self._pending: list[tuple[SpoolEntry | None, asyncio.Future[None]]] = []  # None: a probe
        self._unwritten = 0  # the leads that wait for the writer, or that it is writing
        self._has_pending = asyncio.Event()
        self._folder_lock = asyncio.Lock()  # one thread at a time works in the folder
        self._log = logger("spool")
        self._gauges: dict[Gauge, Callable[[], float]] = {
            metrics.SPOOL_LEADS: lambda: self.total()[0],
            metrics.SPOOL_BYTES: lambda: self.total()[1],
            metrics.SPOOL_FULL: lambda: self.used_share,
            metrics.SPOOL_DAMAGED_FILES: lambda: self.damaged_files,
            metrics.SPOOL_OLDEST_AGE: lambda: self.oldest_age_seconds or 0.0,
        }
        for gauge, read in self._gauges.items():
            gauge.set_function(read)

    def write_gauges(self) -> None:
        """Set the metrics. Only for a worker: otherwise, they are read when they are exported."""
        for gauge, read in self._gauges.items():
            gauge.set(read())

    def total(self) -> tuple[int, int]:
        """Return the leads that are not published, and the bytes on disk, of all workers of this gateway."""
        self._share_total()
        if self._totals is None:
            return self.leads, self.bytes
        leads, size = self._totals.read()
        return leads + self._unadopted_segments, size

    def _share_total(self) -> None:
        if self._totals:
            # Each worker sees the folders that nobody can adopt; the sum must count them once.
            self._totals.write(self.leads - self._unadopted_segments + self._unwritten, self.bytes)

    @property
    def used_share(self) -> float:
        """The used share of the spool, from 0 to 1: of its leads or of its bytes, whichever is larger."""
        leads, size = self.total()
        return max(leads / self._max_leads, size / self._max_bytes)

    @property
    def leads(self) -> int:
        """The number of unpublished leads. An unreadable file counts as one lead."""
        return self._unadopted_segments + sum(each.leads - each.published for each in self._segments)

    @property
    def drainable(self) -> bool:
        """True if there is a segment to publish or to remove. An empty segment has to be removed."""
        return bool(self._segments)

    @property
    def bytes(self) -> int:
        """The total size of all segments on disk."""
        return sum(segment.bytes for segment in self._segments)

    @property
    def oldest_age_seconds(self) -> float | None:
        """The age of the oldest lead in seconds, or None if the spool is empty."""
        oldest = min((segment.oldest_at for segment in self._segments), default=None)
        return None if oldest is None else max(0.0, self._now() - oldest)

    async def append(self, record: LeadRecord) -> None:
        """Return once the record is fsynced. Raises `SpoolUnavailable`."""
        await self._enqueue_write(SpoolEntry(record, self._now()))
        metrics.LEADS_SPOOLED.inc()

    async def check(self) -> None:
        """Raise `SpoolUnavailable` unless a lead can be written now.

        Writes a file to the disk to find out.
        """
        await self._enqueue_write(None)

    async def _enqueue_write(self, entry: SpoolEntry | None) -> None:
        leads, size = self.total()
        unwritten = 0 if self._totals else self._unwritten  # the totals contain it
        if leads + unwritten >= self._max_leads or size >= self._max_bytes:
            raise SpoolUnavailable("spool is full")
        written = asyncio.get_running_loop().create_future()
        self._pending.append((entry, written))
        self._unwritten += entry is not None
        self._share_total()
        self._has_pending.set()
        try:
            await asyncio.wait_for(written, APPEND_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise SpoolUnavailable("spool's disk does not answer") from error

    async def run_writer(self) -> None:
        """Write pending records until cancelled.

        All records that are pending at the same time share one fsync.
        """
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            taken, self._pending = self._pending, []
            batch = [(entry, written) for entry, written in taken if not written.done()]
            entries, failed = [entry for entry, _ in batch if entry], False
            if batch:
                try:
                    async with self._folder_lock:
                        appended = await asyncio.to_thread(self._write_entries, entries)
                        if appended:
                            self._count_written(entries, *appended)
                except OSError as error:
                    self._log.error("spool not written", reason=type(error).__name__, errno=error.errno)
                    failed = True
            self._unwritten -= sum(entry is not None for entry, _ in taken)
            self._share_total()
            for _, written in batch:
                if failed and not written.done():
                    written.set_exception(SpoolUnavailable("spool's disk failed"))
                elif not written.done():
                    written.set_result(None)

    def _write_entries(self, entries: Sequence[SpoolEntry]) -> tuple[SpoolFolder, Path, int] | None:
        if self._folder is None:
            self._folder = SpoolFolder.create(self._root)
        if not entries:
            self._folder.probe()
            return None
        return self._folder, *self._folder.append(entries, SEGMENT_MAX_BYTES)

    def _count_written(
        self, entries: Sequence[SpoolEntry], folder: SpoolFolder, path: Path, size: int
    ) -> None:
        # In the event loop, so that no lead counts both here and as unwritten. Search all segments: an
        # adopted one that is younger may be the last.
        segment = next((segment for segment in self._segments if segment.path == path), None)
        if segment:
            segment.leads += len(entries)
            segment.bytes += size
        else:
            self._segments.append(Segment(folder, path, len(entries), size, entries[0].at))

    async def adopt(self) -> None:
        """Take over the segments of dead workers. Raises `OSError` if the spool cannot be listed."""
        # Without the lock, so that appends continue: reading a large spool takes seconds.
        try:
            adopted = await asyncio.to_thread(self._scan_folders, self._folder.path if self._folder else None)
        except OSError:
            self._unadopted_segments = max(1, self._unadopted_segments)  # they may hold a segment
            raise
        async with self._folder_lock:
            for segment in self._segments:
                if not segment.counted:
                    await asyncio.to_thread(self._count_leads, segment)
            if adopted:
                self._segments = sorted([*adopted, *self._segments], key=lambda segment: segment.oldest_at)
            self._share_total()
        if adopted:
            self._log.warning("adopted a dead worker's spool", leads=sum(each.leads for each in adopted))

    def _scan_folders(self, own: Path | None) -> list[Segment]:
        with contextlib.suppress(OSError):  # must not prevent the adoption
            prune_damaged(self._root, self._now())
        adopted, unadopted, damaged = list[Segment](), 0, 0
        for path in SpoolFolder.list_all(self._root):
            try:
                damaged += len(SpoolFolder.list_files(path, DAMAGED_SUFFIX))
                if path != own and (folder := SpoolFolder.claim(path)):
                    adopted += self._adopt_folder(folder)
            except FileNotFoundError:
                pass  # its last owner has just deleted it
            except OSError as error:
                unadopted += SpoolFolder.count_segments(path)
                self._log.error("spool not adopted", folder=path.name, errno=error.errno)
        self._unadopted_segments, self.damaged_files = unadopted, damaged
        return adopted

    def _adopt_folder(self, folder: SpoolFolder) -> list[Segment]:
        try:
            paths = folder.list_segments()
        except OSError:
            folder.close()  # the next scan tries again
            raise
        segments = [Segment.from_file(folder, path) for path in paths]
        for segment in segments:
            self._count_leads(segment)
        if not segments:
            folder.close()
        return segments

    def _count_leads(self, segment: Segment) -> None:
        """Read a segment to count its leads. An unreadable segment is read again at the next adoption."""
        try:
            segment.read()
        except OSError as error:
            self._log.error("spool not read", file=segment.path.name, errno=error.errno)

    async def drain(self, send: Callable[[LeadRecord], Awaitable[object]]) -> None:
        """Publish the leads of all segment files, the oldest file first.

        - A file is removed once all of its leads are acknowledged.
        - If `send` raises `PermanentError` for a lead, the lead's file is kept as damaged, and draining
          continues.
        - Any other error of `send` is raised at once. The next call continues after the last acknowledged
          lead.
        - If a file cannot be read or removed, its `OSError` is raised after the other files are published.
        """
        failed: list[tuple[Segment, OSError]] = []
        while rest := [each for each in self._segments if all(each is not one for one, _ in failed)]:
            try:
                await self._publish_segment(rest[0], send)
            except OSError as error:
                failed.append((rest[0], error))
        if failed:
            raise failed[0][1]

    async def _publish_segment(
        self, segment: Segment, send: Callable[[LeadRecord], Awaitable[object]]
    ) -> None:
        async with self._folder_lock:
            if segment.folder is self._folder:
                segment.folder.seal()
            entries = await asyncio.to_thread(segment.read)
        records = [entry.record for entry in entries if entry]
        while segment.published < len(records):
            # The first record goes alone: it shows whether Kafka is back.
            size = PUBLISH_BATCH_SIZE if segment.published else 1
            batch = records[segment.published : segment.published + size]
            results = await asyncio.gather(*map(send, batch), return_exceptions=True)
            for result in results:
                if isinstance(result, PermanentError):  # keep it in its file, and publish those after it
                    segment.rejected += 1
                    self._log.error(
                        "Kafka refuses a spooled lead permanently, its file is kept", reason=result.reason
                    )
                elif isinstance(result, BaseException):
                    raise result
                segment.published += 1
            self._share_total()
        damaged = len(entries) - len(records) + segment.rejected
        if damaged:
            metrics.SPOOL_DAMAGED.inc(damaged)
            self._log.error("spool had damaged lines, file kept", file=segment.path.name, lines=damaged)
        await self._remove_segment(segment, damaged=bool(damaged))

    async def _remove_segment(self, segment: Segment, *, damaged: bool) -> None:
        async with self._folder_lock:
            await asyncio.to_thread(segment.folder.remove_segment, segment.path, damaged=damaged)
            self._segments.remove(segment)
            self._share_total()
            is_empty = all(other.folder is not segment.folder for other in self._segments)
            if is_empty and segment.folder is not self._folder:
                await asyncio.to_thread(segment.folder.close)

    def close(self) -> None:
        """Close the folders. The next worker that starts adopts their segments."""
        folders = {id(segment.folder): segment.folder for segment in self._segments}
        if self._folder:
            folders[id(self._folder)] = self._folder
        for folder in folders.values():
            with contextlib.suppress(OSError):
                folder.close()
