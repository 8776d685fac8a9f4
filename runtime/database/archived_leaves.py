"""The entries of the sealed audit log that left the database: what `audit_archive` and the files say."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from runtime.database.sealed_log import Archive
from runtime.transparency_log.merkle_tree import hash_leaf

_ID: Final = re.compile(rb'\{"id":(-?\d{1,19}),')


def read_id(line: bytes) -> int:
    """Return the id of an entry, given its leaf. Raises `ValueError` if the line does not begin with one."""
    found = _ID.match(line)
    if found is None:
        raise ValueError("a line of the archive is not an entry as it was sealed")
    return int(found[1])


class ArchivedLeaves:
    """Says whether an entry that is not in the log was archived, and compares it with the archive's line.

    `lines` are those of all archives, oldest first. None: nothing is compared. Entries must be checked in the
    order of their ids.
    """

    def __init__(self, archives: Sequence[Archive], lines: Iterator[bytes] | None) -> None:
        self._archives = sorted(archives, key=lambda archive: archive.first_id)
        self._first_ids = [archive.first_id for archive in self._archives]
        self._found = [0] * len(self._archives)
        self._lines = lines
        self._next: tuple[int, bytes] | None = None
        self._first_sealed: int | None = None
        self._unsealed = 0
        self.count = 0
        """How many entries that were checked are in an archive."""
        self.last_id = max((archive.last_id for archive in archives), default=-(2**63) - 1)
        """No entry up to this id is in the log: only its oldest part is archived."""
        self._advance()

    def check(self, entry_id: int, leaf_hash: bytes) -> str | None:
        """Return what is wrong with an entry that is not in the log. None: it was archived."""
        if self._first_sealed is None:
            self._first_sealed = entry_id
        place = bisect_right(self._first_ids, entry_id) - 1
        if place < 0 or entry_id > self._archives[place].last_id:
            return f"the entry {entry_id} is missing"
        self._found[place] += 1
        self.count += 1
        if self._lines is None:
            return None
        while self._next is not None and self._next[0] < entry_id:
            # The archives of before the seal have entries that were never sealed.
            self._unsealed += self._next[0] > self._first_sealed
            self._advance()
        if self._next is None or self._next[0] != entry_id:
            return f"the entry {entry_id} is missing in the archives"
        line = self._next[1]
        self._advance()
        return None if hash_leaf(line) == leaf_hash else f"the entry {entry_id} was changed in its archive"

    def end(self) -> Iterator[str]:
        """Yield what is wrong with the archives, after the last entry was checked."""
        for archive, found in zip(self._archives, self._found, strict=True):
            was_sealed = self._first_sealed is not None and archive.last_id >= self._first_sealed
            if was_sealed and found != archive.entries:
                yield f"the archive {archive.name} has {archive.entries} entries, and {found} are sealed"
        while self._next is not None:
            self._unsealed += self._first_sealed is not None and self._next[0] > self._first_sealed
            self._advance()
        if self._unsealed:
            yield f"the archives have {self._unsealed} entries that are not sealed"

    def _advance(self) -> None:
        line = next(self._lines, None) if self._lines is not None else None
        self._next = None if line is None else (read_id(line), line)
