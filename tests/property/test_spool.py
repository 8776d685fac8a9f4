"""The spool over any crash, torn write or flipped bit: what was acknowledged comes back, in order, once."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.lead_record import LeadRecord
from services.ingest.spool.entries import SpoolEntry, decode, encode
from services.ingest.spool.spool import Spool

HEADERS = st.lists(st.tuples(st.text("abc-", min_size=1), st.text().map(str.encode)), max_size=3)
RECORDS = st.builds(
    SpoolEntry,
    st.builds(LeadRecord, st.uuids().map(lambda u: str(u).encode()), st.text().map(str.encode), HEADERS),
    st.floats(0, 1e10),
)


@given(st.lists(RECORDS, max_size=8))
def test_decode_returns_encoded_entries_in_order(records: list[SpoolEntry]) -> None:
    assert list(decode(b"".join(map(encode, records)))) == records


@given(records=st.lists(RECORDS, min_size=1, max_size=8), data=st.data())
def test_decode_returns_all_entries_before_a_torn_line(
    records: list[SpoolEntry], data: st.DataObject
) -> None:
    lines = [encode(record) for record in records]
    written = b"".join(lines)
    cut = data.draw(st.integers(0, len(written)))
    # A line is whole without its last newline.
    ends = [sum(map(len, lines[: n + 1])) - 1 for n in range(len(lines))]
    whole = sum(end <= cut for end in ends)
    found = [spooled for spooled in decode(written[:cut]) if spooled]
    assert found == records[:whole]


@given(records=st.lists(RECORDS, min_size=1, max_size=8), data=st.data())
def test_decode_loses_only_the_entry_with_a_flipped_bit(
    records: list[SpoolEntry], data: st.DataObject
) -> None:
    written = bytearray(b"".join(map(encode, records)))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= 1 << data.draw(st.integers(0, 7))
    found = [spooled for spooled in decode(bytes(written)) if spooled]
    hit, end = 0, 0
    for number, record in enumerate(records):
        end += len(encode(record))
        if at < end:
            hit = number
            break
    others = records[:hit] + records[hit + 1 :]
    assert [record for record in found if record in others] == others or found == records


def spooled_files(root: Path) -> list[Path]:
    return list(root.glob("*/*.spool"))


class Crash(Exception):
    """The process died here."""


@settings(max_examples=40, deadline=None)
@given(
    rounds=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), min_size=1, max_size=4),
)
def test_spool_publishes_all_records_oldest_first_after_any_crashes(
    rounds: list[tuple[int, int]],
) -> None:
    """Each round is one life of a worker: keep some, publish some, die."""
    kept: list[bytes] = []
    published: list[bytes] = []

    async def life(root: Path, keep: int, publish: int) -> None:
        spool = Spool(root, max_bytes=1 << 20, max_leads=1000)
        writer = asyncio.create_task(spool.run_writer())
        await spool.adopt()
        for _ in range(keep):
            value = str(len(kept)).encode()
            await spool.append(LeadRecord(b"k", value, []))
            kept.append(value)
        left = publish

        async def send(record: LeadRecord) -> None:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            published.append(record.value)

        try:
            await spool.drain(send)
        except Crash:
            pass
        finally:
            writer.cancel()
            spool.close()  # lets the lock go, as a death does

    async def lives() -> None:
        with TemporaryDirectory() as folder:
            for keep, publish in rounds:
                await life(Path(folder), keep, publish)
            await life(Path(folder), 0, 10_000)
            assert not spooled_files(Path(folder))

    asyncio.run(lives())
    assert set(published) == set(kept)
    first_times = list(dict.fromkeys(published))
    assert first_times == kept
