"""Bounds the damaged segments that the spool keeps for a person to look at: they hold personal data.

Every line that can be read and that Kafka takes was published before its file was set aside.
"""

import contextlib
from pathlib import Path
from typing import Final

from runtime.logs import logger
from services.ingest.spool.segments import DAMAGED

# As long as the topic of dead records keeps its own.
MAX_AGE_SECONDS: Final = 30 * 24 * 3600
MAX_BYTES: Final = 64 << 20


def prune_damaged(root: Path, now: float) -> int:
    """Delete damaged segments older than 30 days, then the oldest beyond 64 MiB in all. Blocking.

    `now` is in seconds since 1970. Returns how many were deleted; one that cannot be deleted is tried again
    at the next call.
    """
    found = []
    for path in root.glob(f"[!.]*/*{DAMAGED}"):
        with contextlib.suppress(OSError):  # another worker has just deleted it
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    deleted, kept_bytes = 0, 0
    for modified_at, size, path in sorted(found, reverse=True):
        kept_bytes += size
        if now - modified_at <= MAX_AGE_SECONDS and kept_bytes <= MAX_BYTES:
            continue
        with contextlib.suppress(OSError):
            path.unlink()
            deleted += 1
    if deleted:
        logger("spool").warning("damaged segments deleted", files=deleted)
    return deleted
