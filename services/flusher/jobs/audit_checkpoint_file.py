"""The file with the newest checkpoint, outside the database: it reveals that the database was restored."""

import os
from pathlib import Path
from typing import Final
from uuid import uuid4

from runtime.reading_thread import ReadingThread

# A mounted file may hang.
FILE_SECONDS: Final = 10.0


class CheckpointFileError(Exception):
    """The file cannot be read or written. Its text names the setting."""


class CheckpointFile:
    """A file with one checkpoint. Its methods raise `CheckpointFileError` within `FILE_SECONDS`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = ReadingThread[str | None]("audit checkpoint")

    async def read(self) -> str | None:
        """Return the checkpoint, or None if there is no file yet."""
        try:
            return await self._reading.run(self._read, FILE_SECONDS)
        except (OSError, UnicodeDecodeError) as error:  # TimeoutError is an OSError
            raise CheckpointFileError("FASTCORE_AUDIT_CHECKPOINT_FILE cannot be read") from error

    async def write(self, note: str) -> None:
        """Replace the checkpoint. After a crash the file has the old one or the new one."""
        try:
            await self._reading.run(lambda: self._write(note), FILE_SECONDS)
        except OSError as error:
            raise CheckpointFileError("FASTCORE_AUDIT_CHECKPOINT_FILE cannot be written") from error

    def _read(self) -> str | None:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _write(self, note: str) -> None:
        # In containers, the flushers that share the file all have the process id 1.
        temporary = self._path.with_name(f"{self._path.name}.{uuid4().hex}.new")
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
