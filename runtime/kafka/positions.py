"""Where a stage stands in one partition: in its ledger, in its group, and in the log. Pure: no I/O."""

from dataclasses import dataclass

from runtime.database.ledger import LedgerEntry


@dataclass(frozen=True)
class Position:
    """One partition. None: not known there. `found` is what the log has in place of the last record."""

    page: LedgerEntry | None
    committed: int | None
    start: int
    end: int
    found: str | None = None

    @property
    def is_another_log(self) -> bool:
        """Return True where the ledger is about a log, or a tail of it, that this Kafka does not have."""
        if self.page is None:
            return False
        if self.page.next_offset > self.end:
            return True
        if self.page.last_record is None:
            return self.committed is None and self.page.next_offset > self.start
        return self.found is not None and self.found != self.page.last_record

    @property
    def expired(self) -> int:
        """Return how many records Kafka deleted before the stage had taken them."""
        return max(0, self.start - self.page.next_offset) if self.page else 0

    @property
    def next_offset(self) -> int:
        """Return the first offset that the ledger lacks, of those that Kafka still holds."""
        return max(self.start, self.page.next_offset) if self.page else self.start

    @property
    def behind(self) -> int:
        """Return how many records the group has committed and the ledger lacks: it was rolled back."""
        return max(0, (self.committed or 0) - self.next_offset)
