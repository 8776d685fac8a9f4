"""Deletes old damaged segments. A segment is a file of the spool, and contains personal data.

Before a segment is marked as damaged, all of its readable leads that Kafka accepts are published. Until a
damaged segment is deleted, a person can examine it.
"""

import contextlib
from pathlib import Path
from typing import Final

from runtime.logs import logger
from services.ingest.spool.folder import DAMAGED_SUFFIX

# The retention of the dead-letter topic.
MAX_AGE_SECONDS: Final = 30 * 24 * 3600
MAX_BYTES: Final = 64 << 20


def prune_damaged(root: Path, now: float) -> int:
    """Delete damaged segments older than 30 days, then the oldest ones until 64 MiB or less remain.

    `now` is in seconds since 1970. Returns the number of deleted files. If a file cannot be deleted, the next
    call tries again to delete it. This function blocks.
    """
    files = []
    for path in root.glob(f"[!.]*/*{DAMAGED_SUFFIX}"):
        with contextlib.suppress(OSError):  # another worker has just deleted it
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    deleted, total_bytes = 0, 0
    for modified_at, size, path in sorted(files, reverse=True):
        total_bytes += size
        if now - modified_at <= MAX_AGE_SECONDS and total_bytes <= MAX_BYTES:
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            deleted += 1
    if deleted:
        logger("spool").warning("damaged segments deleted", files=deleted)
    return deleted
