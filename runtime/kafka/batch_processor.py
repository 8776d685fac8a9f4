"""One batch on its way to a handler: narrowed to the records at fault, so that the others are taken."""

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from aiokafka import ConsumerRecord

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
from runtime.logs import logger
from runtime.tracing.spans import record_context

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"
Batch: TypeAlias = Sequence[Record]
BUG_ATTEMPTS = 3
# So many single records refused, and none taken: it is the server's fault, and the rest need not be tried.
REFUSALS = 20


class Handler(Protocol):
    """What a service does with records. Both must bear a repeat of any record."""

    async def handle(self, records: Batch) -> None:
        """Take all of these records, or raise a failure word and have taken none for good."""

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Dead-letter or queue the one record at fault."""


class BatchProcessor:
    """Hands a batch over, in its order. `done` counts the first records that are taken or parked."""

    def __init__(self, handler: Handler, records: Batch, backoff: Backoff) -> None:
        self._handler = handler
        self._records = records
        self._backoff = backoff
        self._log = logger("consume")
        self._handed_over = 0
        self.held: PartitionsBusy | None = None
        self._taken = False
        self._refused: list[
            tuple[int, DependencyRefused]
        ] = []  # single records; whose fault it is shows later

    @property
    def done(self) -> int:
        """Return how many of the first records are taken or parked."""
        return self._refused[0][0] if self._refused else self._handed_over

    async def run(self) -> None:
        """Hand over all records. `DependencyUnavailable` and `RewindRequired` keep `done`."""
        await self._deliver(0, len(self._records))
        if self._refused:
            raise self._refused[0][1]  # no record was taken, so it is not theirs

    async def _deliver(self, first: int, last: int, attempt: int = 1) -> None:
        """Hand over a part; where its data is at fault, halve it until the record at fault is alone."""
        try:
            await self._handler.handle(self._records[first:last])
        except PartitionsBusy as held:
            self._hold(held)
        except DependencyRefused as refused:
            await self._narrow(first, last, refused)
        except (DependencyUnavailable, RewindRequired):
            raise
        except Exception as error:  # noqa: BLE001 - whatever one record does, the others go on
            if last - first > 1:
                middle = (first + last) // 2
                await self._deliver(first, middle)
                await self._deliver(middle, last)
            elif not isinstance(error, Failure) and attempt < BUG_ATTEMPTS:
                await asyncio.sleep(self._backoff.seconds(attempt))
                await self._deliver(first, last, attempt + 1)
            else:
                await self._park_failed(self._records[first], error)
        else:
            await self._judge_refused()
        self._handed_over = last

    def split(self) -> tuple[Batch, Batch]:
        """Return the records that are done, and those that must come again, each in their order."""
        done, again = list[Record](), list[Record]()
        for at, record in enumerate(self._records):
            held = self.held.offsets.get((record.topic, record.partition)) if self.held else None
            (again if at >= self.done or (held is not None and record.offset >= held) else done).append(
                record
            )
        return done, again

    def _hold(self, held: PartitionsBusy) -> None:
        before = self.held or PartitionsBusy({}, 0.0)
        offsets = dict(before.offsets)
        for place, offset in held.offsets.items():
            offsets[place] = min(offset, offsets.get(place, offset))
        self.held = PartitionsBusy(offsets, max(before.seconds, held.seconds))

    async def _narrow(self, first: int, last: int, refused: DependencyRefused) -> None:
        """Halve a part that was refused; a record refused alone is at fault where others are taken."""
        if last - first > 1:
            middle = (first + last) // 2
            await self._deliver(first, middle)
            await self._deliver(middle, last)
        elif self._taken:
            await self._park(self._records[first], RetryableError(refused.reason))
        elif len(self._refused) + 1 < REFUSALS:
            self._refused.append((first, refused))
        else:
            raise refused

    async def _judge_refused(self) -> None:
        """Now that a record was taken: give those that were refused before it another try, or park them."""
        self._taken = True
        while self._refused:
            record = self._records[self._refused[0][0]]
            try:
                await self._handler.handle([record])
            except PartitionsBusy as held:
                self._hold(held)
            except DependencyRefused as again:
                with record_context(record):
                    await self._park(record, RetryableError(again.reason))
            except (DependencyUnavailable, RewindRequired):
                raise
            except Exception as error:  # noqa: BLE001 - whatever one record does, the others go on
                await self._park_failed(record, error)
            self._refused.pop(0)  # only now: until then the record is not done

    async def _park_failed(self, record: Record, error: Exception) -> None:
        """Park one record for its own failure, or for a bug that it meets."""
        with record_context(record):
            if isinstance(error, Failure):
                await self._park(record, error)
                return
            metrics.BUGS.inc()
            self._log.error("unexpected error, record parked", exc_info=error)
            await self._park(record, RetryableError(f"bug: {type(error).__name__}"))

    async def _park(self, record: Record, failure: Failure) -> None:
        """Park one record; what cannot even be parked is not passed over: the stage pauses for people."""
        try:
            await self._handler.send_to_retry_queue(record, failure)
        except (DependencyUnavailable, RewindRequired):
            raise
        except Exception as error:
            self._log.error("record not parked", offset=record.offset, exc_info=True)
            place = f"{record.topic}/{record.partition} at {record.offset}"
            raise DependencyUnavailable(
                "record", f"a record can be neither handled nor parked: {place}"
            ) from error
