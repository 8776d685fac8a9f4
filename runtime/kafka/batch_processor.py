"""Hands one batch to the handler, and halves it to isolate a failing record."""

import asyncio
from collections.abc import Collection
from itertools import groupby
from typing import Final

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import (
    Backoff,
    DependencyRefused,
    DependencyUnavailable,
    Failure,
    PartitionsBusy,
    RetryableError,
    RewindRequired,
)
from runtime.kafka.handler import Batch, Handler, Record
from runtime.logs import logger
from runtime.tracing.spans import record_context

BUG_ATTEMPTS: Final = 3
# If this many single records are refused and none is accepted, the server is at fault: stop trying the rest.
MAX_REFUSALS: Final = 20


class BatchProcessor:
    """Processes the records of one batch in order.

    A record is completed once the handler has processed it or sent it to the replay queue.
    """

    def __init__(self, handler: Handler, records: Batch, backoff: Backoff) -> None:
        self._handler = handler
        self._records = records
        self._backoff = backoff
        self._log = logger("consume")
        self._next = 0  # index of the first record that was not handed over yet
        self.busy: PartitionsBusy | None = None
        self._any_accepted = False
        # Single records that were refused before any record was accepted: the cause is not known yet.
        self._refused: list[tuple[int, DependencyRefused]] = []
        # Ranges of records (first index, last index + 1) that the ledger counts only after a refused one.
        self._blocked: list[tuple[int, int]] = []
        self._releasing = False  # the blocked ranges are being processed

    @property
    def completed(self) -> int:
        """Return how many records at the start of the batch need no further processing in this batch.

        They are processed, or their partition is in `busy` and the consumer reads them again later.
        """
        waiting = [*(index for index, _ in self._refused), *(first for first, _ in self._blocked)]
        return min(waiting, default=self._next)

    async def run(self) -> None:
        """Process all records.

        Raises `DependencyUnavailable` or `RewindRequired`. `completed` is correct even after an error. If
        another process is using the partitions of some records, `busy` names these partitions.
        """
        await self._process(0, len(self._records))
        if self._refused:
            raise self._refused[0][1]  # no record was accepted, so the server is at fault

    def split(self) -> tuple[Batch, Batch]:
        """Return the completed records, and the records that must be redelivered, each in order."""
        completed, redelivered = list[Record](), list[Record]()
        for index, record in enumerate(self._records):
            busy_from = self.busy.offsets.get((record.topic, record.partition)) if self.busy else None
            is_busy = busy_from is not None and record.offset >= busy_from
            (redelivered if index >= self.completed or is_busy else completed).append(record)
        return completed, redelivered

    async def _process(self, first: int, last: int, attempt: int = 1) -> None:
        """Process the records from index `first` to `last` - 1. If that fails, process each half separately.

        So a failing record is isolated, and the other records are completed.
        """
        try:
            await self._handler.handle(self._records[first:last])
        except PartitionsBusy as busy:
            self._add_busy(busy)
        except DependencyRefused as refused:
            await self._narrow_refused(first, last, refused)
        except RewindRequired as rewind:
            if not self._is_after_refused(rewind):
                raise
            await self._process_other_partitions(first, last, rewind.offsets.keys())
        except DependencyUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one record causes, the others continue
            if last - first > 1:
                middle = (first + last) // 2
                await self._process(first, middle)
                await self._process(middle, last)
            elif not isinstance(error, Failure) and attempt < BUG_ATTEMPTS:
                await asyncio.sleep(self._backoff.seconds(attempt))
                await self._process(first, last, attempt + 1)
            else:
                await self._queue_failed(self._records[first], error)
        else:
            await self._retry_refused()
        self._next = max(self._next, last)

    def _is_after_refused(self, rewind: RewindRequired) -> bool:
        """Return True if the ledger misses only records that were refused, and may be counted later.

        To seek back would repeat the same, and the ledger would count the refused records as missing.
        """
        refused = {
            ((record := self._records[index]).topic, record.partition, record.offset)
            for index, _ in self._refused
        }
        return all((*partition, offset) in refused for partition, offset in rewind.offsets.items())

    async def _process_other_partitions(
        self, first: int, last: int, blocked: Collection[tuple[str, int]]
    ) -> None:
        """Process the records from index `first` to `last` - 1, except those of the `blocked` partitions.

        Those follow after the refused records of their partitions, once another record was accepted.
        """

        def is_blocked(index: int) -> bool:
            return (self._records[index].topic, self._records[index].partition) in blocked

        for must_wait, indexes in groupby(range(first, last), is_blocked):
            start, *_ = run = list(indexes)
            if must_wait:
                self._blocked.append((start, start + len(run)))
            else:
                await self._process(start, start + len(run))

    def _add_busy(self, busy: PartitionsBusy) -> None:
        """Merge `busy` into `self.busy`: keep the lowest offset of each partition, and the longest wait."""
        known = self.busy or PartitionsBusy({}, 0.0)
        offsets = dict(known.offsets)
        for partition, offset in busy.offsets.items():
            offsets[partition] = min(offset, offsets.get(partition, offset))
        self.busy = PartitionsBusy(offsets, max(known.seconds, busy.seconds))

    async def _narrow_refused(self, first: int, last: int, refused: DependencyRefused) -> None:
        """Isolate the refused record by processing each half separately.

        A single refused record goes to the replay queue if the dependency has accepted another record of the
        batch. Otherwise it is remembered, and `_retry_refused` tries it again after the next success. Too
        many refusals are raised, because the dependency seems to be at fault.
        """
        if last - first > 1:
            middle = (first + last) // 2
            await self._process(first, middle)
            await self._process(middle, last)
        elif self._any_accepted:
            await self._queue(self._records[first], RetryableError(refused.reason))
        elif len(self._refused) + 1 < MAX_REFUSALS:
            self._refused.append((first, refused))
        else:
            raise refused

    async def _retry_refused(self) -> None:
        """Retry the refused records, now that a record was accepted. Queue those that are refused again."""
        self._any_accepted = True
        while self._refused:
            record = self._records[self._refused[0][0]]
            try:
                await self._handler.handle([record])
            except PartitionsBusy as busy:
                self._add_busy(busy)
            except DependencyRefused as refused:
                with record_context(record):
                    await self._queue(record, RetryableError(refused.reason))
            except (DependencyUnavailable, RewindRequired):
                raise
            except Exception as error:  # noqa: BLE001 - whatever one record causes, the others continue
                await self._queue_failed(record, error)
            self._refused.pop(0)  # only now: until then the record is not completed
        if not self._releasing:  # else the caller continues, in order
            await self._release_blocked()

    async def _release_blocked(self) -> None:
        """Process the records that waited for refused ones, in order."""
        self._releasing = True
        while self._blocked:
            await self._process(*self._blocked[0])
            self._blocked.pop(0)  # only now: until then they are not completed
        self._releasing = False

    async def _queue_failed(self, record: Record, error: Exception) -> None:
        """Send a record to the replay queue, whether its error is a `Failure` or a bug."""
        with record_context(record):
            if isinstance(error, Failure):
                await self._queue(record, error)
                return
            metrics.BUGS.inc()
            self._log.error("unexpected error, record sent to the replay queue", exc_info=error)
            await self._queue(record, RetryableError(Reason.BUG.format(exception=type(error).__name__)))

    async def _queue(self, record: Record, failure: Failure) -> None:
        """Send one record to the replay queue.

        If that fails, raise `DependencyUnavailable`: the stage pauses and skips no record.
        """
        try:
            await self._handler.send_to_retry_queue(record, failure)
        except (DependencyUnavailable, RewindRequired):
            raise
        except Exception as error:
            self._log.error("record not sent to the replay queue", offset=record.offset, exc_info=True)
            position = f"{record.topic}/{record.partition} at {record.offset}"
            raise DependencyUnavailable(
                "record", f"a record can be neither handled nor sent to the replay queue: {position}"
            ) from error
