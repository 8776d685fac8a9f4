"""A file of `deploy/migrations`: its statements, and how they are executed."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlparse

# A file with this ending has one transaction for each statement.
ONLINE_SUFFIX: Final = ".online.sql"
# The comment before a statement that is repeated until it changes no row.
REPEAT: Final = "-- repeat"
_COMMENT = re.compile(r"--[^\n]*\n|\s+")
_CONCURRENTLY = re.compile(r"(?i)(CREATE|DROP|REINDEX)\s[^(;]*\bCONCURRENTLY\b")
SHOWN_LENGTH: Final = 100


@dataclass(frozen=True)
class Statement:
    """One SQL statement of a file, with the comments before it."""

    sql: str

    @property
    def is_repeated(self) -> bool:
        """Return True if the statement changes some rows at a time, and is repeated until none is left."""
        return any(line.strip() == REPEAT for line in self.sql.split("\n"))

    @property
    def is_concurrent(self) -> bool:
        """Return True if the statement cannot run in a transaction, as `CREATE INDEX CONCURRENTLY`."""
        return bool(_CONCURRENTLY.match(self._without_leading_comments()))

    def __str__(self) -> str:
        """Return the beginning of the statement, in one line, for messages."""
        line = " ".join(self._without_leading_comments().split())
        return line if len(line) <= SHOWN_LENGTH else line[:SHOWN_LENGTH] + "…"

    def _without_leading_comments(self) -> str:
        start = 0
        while found := _COMMENT.match(self.sql, start):
            start = found.end()
        return self.sql[start:]


@dataclass(frozen=True)
class MigrationFile:
    """A file with its checksum, by which a later change of it is noticed."""

    name: str
    sha256: str
    statements: tuple[Statement, ...]

    @property
    def is_online(self) -> bool:
        """Return True if each statement has a transaction of its own, so that no lock lasts long."""
        return self.name.endswith(ONLINE_SUFFIX)


def read_migration(path: Path) -> MigrationFile:
    """Read a file. Raises `OSError`, or `UnicodeDecodeError` if it is not UTF-8."""
    sql = path.read_text(encoding="utf-8")
    statements = tuple(Statement(part) for part in sqlparse.split(sql) if part.strip())
    return MigrationFile(path.name, hashlib.sha256(sql.encode()).hexdigest(), statements)
