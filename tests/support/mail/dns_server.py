"""A real DNS server on loopback, over UDP and TCP, with invented zones and faults."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

SILENT = "silent"
SERVFAIL = "servfail"


@dataclass
class DnsServer:
    """`records[name, type]` are values in zone-file form, such as `"v=spf1 -all"` in quotes.

    A name with any record exists; other names get NXDOMAIN. `faults[name]` is `SILENT` or `SERVFAIL`. An
    answer that is larger than the client accepts over UDP is truncated. `queries` counts by protocol.
    """

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    queries: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def txt(self, name: str, *values: str) -> None:
        """Add TXT records. Long ones are split into strings of 255 characters, as DNS needs it."""
        self.records.setdefault((name, "TXT"), []).extend(
            " ".join(f'"{value[at : at + 255]}"' for at in range(0, max(len(value), 1), 255))
            for value in values
        )

    def answer(self, wire_query: bytes, protocol: str) -> bytes | None:
        query = dns.message.from_wire(wire_query)
        self.queries[protocol] += 1
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        fault = self.faults.get(name, self.faults.get("*"))
        if fault == SILENT:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if fault == SERVFAIL:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif values := self.records.get((name, question.rdtype.name)):
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", question.rdtype, values))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        wire = reply.to_wire(max_size=65535)
        if protocol == "udp" and len(wire) > (query.payload or 512):
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            wire = reply.to_wire()
        return wire


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if (wire := self.server.answer(data, "udp")) is not None:
            self.transport.sendto(wire, address)


@asynccontextmanager
async def dns_server(server: DnsServer | None = None) -> AsyncIterator[DnsServer]:
    """Run the server while the block lasts, on one port for UDP and TCP."""
    server = server or DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                if (wire := server.answer(await reader.readexactly(length), "tcp")) is not None:
                    writer.write(struct.pack("!H", len(wire)) + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), ("127.0.0.1", server.port))
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
