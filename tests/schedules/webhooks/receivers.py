"""The receivers of webhooks on the simulated network: aiohttp's server, which a schedule makes fail."""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from aiohttp import web
from standardwebhooks import Webhook

from contracts.lead_events import RECEIVED, event_id_for
from tests.schedules.simulation.event_loop import Process
from tests.schedules.simulation.network import Network

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of schedules, 32 bytes.").decode()
CRM, API, CHAT = "crm", "api", "chat"
ADDRESSES: Final = {CRM: "93.184.215.10", API: "93.184.215.11", CHAT: "93.184.215.12"}
_PORT: Final = 80
# What a receiver answers when it refuses.
_REFUSALS: Final[dict[str, tuple[int, dict[str, str]]]] = {
    "error": (500, {}),
    "unavailable": (503, {"Retry-After": "7"}),
    "limit": (429, {"Retry-After": "20"}),
    "limit_for_long": (429, {"Retry-After": "3600"}),
    "limit_without_time": (429, {}),
    "gone": (410, {}),
    "moved": (302, {"Location": "http://127.0.0.1/"}),
}
# The receiver has the event, and the sender gets no reply, or too late.
WITHOUT_REPLY: Final = ("accept_and_drop", "accept_and_hang", "accept_late")
# An admin has to enable the destination after these.
FOR_ADMINS: Final = ("gone", "limit_for_long")
FAILURES: Final = (*_REFUSALS, "drop", "hang", *WITHOUT_REPLY, "accept_in_part")
# Longer than a request may take.
LATE_SECONDS: Final = 17.0
# The sites file names these hosts and this variable.
SITES_FILE: Final = Path(__file__).with_name("sites.toml")
SECRET_VARIABLE: Final = "FASTCORE_SCHEDULES_SECRET"
_LEAD_LINK: Final = re.compile(r"/leads/([0-9a-f-]{36})")
_ERASED_LEAD: Final = re.compile(r"Lead ([0-9a-f]{8}) was erased")


@dataclass(frozen=True)
class Arrival:
    """A request that a receiver has read. `way` is what it did; an empty one is a 200."""

    destination: str
    event_id: UUID
    lead_id: UUID
    body: str
    way: str

    @property
    def accepted(self) -> bool:
        """Return True if the receiver has the event."""
        return not self.way or self.way.startswith("accept")


@dataclass
class Receivers:
    """The receivers by name. `on_arrival` gets each request before it is answered.

    `find_erasure` returns the event and the lead of an erasure, whose message in a chat has a reference only.
    """

    network: Network
    on_arrival: Callable[[Arrival], None]
    find_erasure: Callable[[str], tuple[UUID, UUID]]
    arrivals: list[Arrival] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)  # bugs of the simulation
    _faults: list[tuple[str, str]] = field(default_factory=list)
    _stops: list[str] = field(default_factory=list)
    _failing: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ADDRESSES:
            self.network.names[_host(name)] = ADDRESSES[name]
            self._listen(name)

    def _listen(self, name: str) -> None:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await self._handle(name, request)
            except Exception as error:
                self.errors.append(error)
                raise

        server = web.Server(handle, access_log=None)
        self.network.listen((ADDRESSES[name], _PORT), server, Process(name))

    def stop(self, name: str) -> None:
        """Refuse and cut all connections."""
        self._stops.append(name)
        self.network.close((ADDRESSES[name], _PORT))

    def start(self, name: str) -> None:
        """Accept connections again, once every `stop` has had its `start`."""
        self._stops.remove(name)
        if name not in self._stops:
            self._listen(name)

    def fail(self, name: str, way: str) -> None:
        """Fail in this way from now on."""
        self._faults.append((name, way))
        self._failing.setdefault((name, way), asyncio.Event()).clear()

    def work(self, name: str, way: str) -> None:
        """Fail so no more. Requests that hang are cut."""
        self._faults.remove((name, way))
        if (name, way) not in self._faults:
            self._failing[name, way].set()

    def forget(self, name: str) -> None:
        """Let the name servers know the host no more."""
        self.network.names.pop(_host(name), None)

    def remember(self, name: str) -> None:
        """Let the name servers know the host again."""
        self.network.names[_host(name)] = ADDRESSES[name]

    async def _handle(self, name: str, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.text()
        way = next((way for at, way in self._faults if at == name), "")
        event_id, lead_id = self._read(name, request, body)
        arrival = Arrival(name, event_id, lead_id, body, way)
        self.on_arrival(arrival)
        self.arrivals.append(arrival)
        if way in _REFUSALS:
            status, headers = _REFUSALS[way]
            return web.Response(status=status, headers=headers, text="not now")
        if way == "accept_late":
            await asyncio.sleep(LATE_SECONDS)
        elif way == "accept_in_part":
            return await self._answer_in_part(name, request)
        elif way:
            if way.endswith("hang"):
                await self._failing[name, way].wait()
            if request.transport:
                request.transport.abort()
        return web.Response(text="thank you")

    def _read(self, name: str, request: web.BaseRequest, body: str) -> tuple[UUID, UUID]:
        """Return the ids of the event and its lead. Raises if a signature is wrong."""
        if name == CRM:
            headers = {key.lower(): value for key, value in request.headers.items()}
            Webhook(SECRET).verify(body, headers)
            return UUID(headers["webhook-id"]), UUID(json.loads(body)["data"]["id"])
        if name == API:
            found = json.loads(body)
            return UUID(found["id"]), UUID(found["lead"])
        if erased := _ERASED_LEAD.search(body):
            return self.find_erasure(erased[1])
        link = _LEAD_LINK.search(body)
        assert link, body
        return event_id_for(UUID(link[1]), RECEIVED), UUID(link[1])

    async def _answer_in_part(self, name: str, request: web.BaseRequest) -> web.StreamResponse:
        """Send the head of a 200 and the beginning of its body, and then nothing."""
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"thank")
        await self._failing[name, "accept_in_part"].wait()
        if request.transport:
            request.transport.abort()
        return response


def _host(name: str) -> str:
    return f"{name}.example.com"
