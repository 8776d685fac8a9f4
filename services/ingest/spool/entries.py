"""The encoding of spooled leads: one checksummed line per lead.

A line is `<CRC-32 as 8 hex digits> <JSON>` between two newlines. A reader skips a torn or corrupted line and
continues with the next one. The file is text, so a person can read it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json, to_json

from contracts.lead_record import LeadRecord

_CHECKSUM_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A lead's record, and the time at which it was spooled, in seconds since 1970."""

    record: LeadRecord
    at: float


def encode(entry: SpoolEntry) -> bytes:
    """Return the line of an entry."""
    record = entry.record
    headers = [(name, value.decode()) for name, value in record.headers]
    body = to_json(
        {"at": entry.at, "key": record.key.decode(), "value": record.value.decode(), "headers": headers}
    )
    return b"\n%08x %b\n" % (zlib.crc32(body), body)


def decode(data: bytes) -> Iterator[SpoolEntry | None]:
    """Yield the entries of a segment in order, and None for each damaged line."""
    for line in data.split(b"\n"):
        if line:
            yield _decode_line(line)


def _decode_line(line: bytes) -> SpoolEntry | None:
    checksum, _, body = line.partition(b" ")
    if len(checksum) != _CHECKSUM_LENGTH or checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        fields = from_json(body)
        headers = [(name, value.encode()) for name, value in fields["headers"]]
        return SpoolEntry(LeadRecord(fields["key"].encode(), fields["value"].encode(), headers), fields["at"])
    except (ValueError, LookupError, TypeError, AttributeError):  # written by another version
        return None
