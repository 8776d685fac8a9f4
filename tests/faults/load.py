"""The requests of the website, chosen by a seed, and their responses. The faults and checks are elsewhere."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx

from tests.faults.office import Office
from tests.support.patience import patient

Mailing = Literal["good", "refused", "greylisted"]
Shape = Literal["plain", "again", "at once", "other body", "other body at once", "bad"]

# Percentages. Double clicks, retries and reloads make repeats frequent.
_SHAPES: dict[Shape, int] = {
    "plain": 76, "again": 8, "at once": 5, "other body": 3, "other body at once": 2, "bad": 6,
}  # fmt: skip
_CONCURRENT_COPIES = 99
_STATUSES = ("processing", "contacted", "won")
_REFUSED, _GREYLISTED, _IMPATIENT = 0.02, 0.02, 0.1

BAD: dict[str, tuple[dict[str, Any], set[int]]] = {
    "no token": ({"headers": {"Authorization": ""}}, {401}),
    "another token": ({"headers": {"Authorization": "Bearer wr\xf6ng".encode("latin-1")}}, {401}),
    "no JSON": ({"content": b"{name: "}, {400}),
    "NaN": ({"content": b'{"name": NaN}'}, {400}),
    "nothing in it": ({"content": b"{}"}, {422}),
    "nobody to answer": ({"content": b'{"name":"a","email":"b","message":"m"}'}, {422}),
    "too large": ({"content": b'{"name":"' + b"x" * 270_000 + b'"}'}, {413}),
    "deep": ({"content": b'{"x":' * 5000 + b"1" + b"}" * 5000}, {400, 422}),
    "text": ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, {415}),
}


@dataclass(frozen=True)
class Traffic:
    """The load of a round."""

    seconds: float = 12.0
    per_second: float = 40.0
    spam: float = 0.08  # as a share; spam is stored and not mailed
    sites: tuple[str, ...] = ("default", "default", "studio")
    # As shares of the plain leads: those whose status an admin changes, and those that are erased.
    changed: float = 0.12
    erased: float = 0.05


@dataclass
class Answer:
    """One response. `status` 0 means no response: the result of the request is unknown."""

    status: int
    seconds: float
    lead_id: str = ""
    timestamp: str = ""
    detail: str = ""
    at: float = 0.0  # monotonic time of the request
    retry_after: str = ""


@dataclass
class Body:
    """One message posted under a key, and every response to it."""

    message: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return any(answer.status == 201 for answer in self.answers)

    @property
    def possible(self) -> bool:
        """True if it may have been stored: it was accepted, or the response does not exclude it."""
        return any(answer.status in (0, 201) or answer.status >= 500 for answer in self.answers)


@dataclass
class Lead:
    """One idempotency key, the bodies posted under it, and the expected mails."""

    key: str
    bodies: list[Body]
    email: str
    spam: bool = False
    mailing: Mailing = "good"
    statuses: tuple[str, ...] = ()  # what an admin changes the status to, one after the other
    erase: bool = False  # whether an admin erases it afterwards
    changes: list[tuple[str, int]] = field(default_factory=list)  # each change, and the final response
    site: str = "default"

    @property
    def id(self) -> str:
        """Return the documented id, the UUIDv5 of the site and the key, without the code of the services."""
        return str(uuid5(uuid5(NAMESPACE_URL, "urn:fastcore:lead"), f"{self.site}\n{self.key}"))

    def json(self, body: Body) -> dict[str, Any]:
        posted: dict[str, Any] = {
            "name": f"Visitor {self.key}", "email": self.email, "service": "Fault suite",
            "message": body.message,
        }  # fmt: skip
        return posted | ({"meta": {"honeypot": "https://spam.example"}} if self.spam else {})


@dataclass
class Step:
    """One action of the website, `at` seconds after the start of the round."""

    at: float
    shape: Shape
    lead: Lead | None = None
    bad: str = ""
    patient: bool = True
    copies: int = 3  # for shapes that post at once


@dataclass
class Refusal:
    """A bad request and its responses."""

    name: str
    answers: list[Answer] = field(default_factory=list)


def plan_load(rng: random.Random, name: str, traffic: Traffic) -> list[Step]:
    """Return the load of a round; the same seed gives the same load."""
    steps, at = list[Step](), 0.0
    while (at := at + rng.expovariate(traffic.per_second)) < traffic.seconds:
        shape = rng.choices(list(_SHAPES), list(_SHAPES.values()))[0]
        if shape == "bad":
            steps.append(Step(at, shape, bad=rng.choice(list(BAD))))
            continue
        key = f"{name}-{len(steps)}-{UUID(int=rng.getrandbits(128), version=4)}"
        texts = [f"First text under {key}", f"Second text under {key}"]
        lead = Lead(
            key,
            [Body(text) for text in (texts if shape.startswith("other") else texts[:1])],
            email=f"{key[-36:]}@{'refused' if (draw := rng.random()) < _REFUSED else 'mail'}.example",
            spam=rng.random() < traffic.spam,
            site=rng.choice(traffic.sites),
        )
        if not lead.spam and draw < _REFUSED + _GREYLISTED:
            lead.mailing = "refused" if draw < _REFUSED else "greylisted"
        if shape == "plain" and not lead.spam:
            lead.statuses = _STATUSES[: rng.randint(1, 3)] if rng.random() < traffic.changed else ()
            lead.erase = rng.random() < traffic.erased
        steps.append(Step(at, shape, lead, patient=rng.random() > _IMPATIENT))
    for step in steps:
        if step.shape == "at once":
            step.copies = _CONCURRENT_COPIES  # once a round
            break
    return steps


class Website:
    """Posts the planned requests, and keeps all responses for the whole run."""

    def __init__(self, url: str, tokens: Mapping[str, str], office: Office | None = None) -> None:
        """Post to this gateway, with the token of each lead's site.

        `office` makes the planned changes of each lead that was accepted.
        """
        self._url = f"{url}/inbound/leads"
        self._tokens = tokens
        self._office = office
        self.leads: dict[str, Lead] = {}
        self.refusals: list[Refusal] = []
        self.give_up = asyncio.Event()

    async def run(self, steps: list[Step], *, patience_seconds: float = 60) -> None:
        """Post every step at its time; return when each has its response or ran out of patience."""
        began, limits = time.monotonic(), httpx.Limits(max_connections=200, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(timeout=15, limits=limits) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for step in steps:
                await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
                patience = patient(patience_seconds) if step.patient else 0.0
                tasks.create_task(self._post_step(client, step, patience))

    async def _post_step(self, client: httpx.AsyncClient, step: Step, patience: float) -> None:
        if step.lead is None:
            refusal = Refusal(step.bad)
            self.refusals.append(refusal)
            request = {"content": b"{}", **BAD[step.bad][0]}
            request["headers"] = {
                "Content-Type": "application/json",
                **self._auth,
                **request.get("headers", {}),
            }
            await self._post_with_retries(client, request, refusal.answers, patience)
            return
        lead = step.lead
        self.leads[lead.id] = lead
        posts = [self._post(client, lead, body, patience) for body in lead.bodies]
        if step.shape == "again":
            posts.append(self._post(client, lead, lead.bodies[0], patience))
        if step.shape.endswith("at once"):
            posts += [self._post(client, lead, lead.bodies[0], patience) for _ in range(step.copies)]
            await asyncio.gather(*posts)
        else:
            for post in posts:
                await post
        if self._office and lead.bodies[0].accepted:
            await self._office.change(client, lead)

    @property
    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens['default']}"}

    async def _post(self, client: httpx.AsyncClient, lead: Lead, body: Body, patience: float) -> None:
        headers = {"Authorization": f"Bearer {self._tokens[lead.site]}", "Idempotency-Key": lead.key}
        await self._post_with_retries(
            client, {"json": lead.json(body), "headers": headers}, body.answers, patience
        )

    async def _post_with_retries(
        self, client: httpx.AsyncClient, request: dict[str, Any], answers: list[Answer], patience: float
    ) -> None:
        """Post, and retry with the same key until there is a final response, like a website with a queue."""
        deadline, wait = time.monotonic() + patience, 0.2
        while True:
            started = time.monotonic()
            try:
                answer = await client.post(self._url, **request)
            except httpx.HTTPError as error:
                answers.append(Answer(0, time.monotonic() - started, detail=type(error).__name__, at=started))
            else:
                taken = Answer(answer.status_code, time.monotonic() - started, at=started)
                taken.retry_after = answer.headers.get("Retry-After", "")
                if answer.status_code == 201:
                    taken.lead_id, taken.timestamp = answer.json()["leadId"], answer.json()["timestamp"]
                answers.append(taken)
                if answer.status_code not in (429, 503):
                    return
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(wait)
            # Not more often: hundreds of refused leads would take the processor from the proxies here.
            wait = min(10.0, wait * 2)
