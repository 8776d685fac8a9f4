"""A gateway that lets a slow body stay open is found."""

import asyncio
import contextlib

import pytest

from tests.faults.injections import client_faults


async def dribble_to(answer: bytes, *, close: bool = False) -> str:
    """Return what became of a slow body at a server that answers this, and reads on or closes."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            while not close and await reader.read(1000):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        result = await client_faults._dribble(server.sockets[0].getsockname()[1], 0)
        await asyncio.wait_for(done.wait(), 20)
    return result


@pytest.mark.parametrize(("answer", "expected"), [(b"", "open"), (b"HTTP/1.1 408 Timeout\r\n\r\n", "408")])
async def test_a_connection_that_stays_open_is_no_cut(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, expected: str
) -> None:
    monkeypatch.setattr(client_faults, "SLOW_SECONDS", -18.0)  # two seconds in all
    assert await dribble_to(answer) == expected


async def test_a_connection_that_is_closed_is_cut() -> None:
    assert await dribble_to(b"", close=True) == "cut"
