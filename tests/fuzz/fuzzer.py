"""Sends generated requests to the gateway until a deadline, and counts the responses."""

import math
import time
from collections import Counter, defaultdict

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.bodies import MARKER
from tests.fuzz.checker import AcceptedLeads, Answer, FuzzFailure, accepted_lead_id, check_answer
from tests.fuzz.inbound_requests import InboundRequest, inbound_requests
from tests.fuzz.installation import SECRETS

EXAMPLES_AT_ONCE = 200


class Fuzzer:
    """Posts requests to the gateway and checks every response.

    `counts` has the number of responses by entry point and status.
    """

    def __init__(self, client: httpx.Client, accepted: AcceptedLeads) -> None:
        self._client = client
        self._accepted = accepted
        self.counts: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def run(self, seconds: float, first_seed: int) -> None:
        """Post requests for so many seconds. Raises `FuzzFailure` with the smallest failing request."""
        deadline, number = time.monotonic() + seconds, first_seed
        while time.monotonic() < deadline:
            self.run_examples(number, deadline)
            number += 1

    def run_examples(self, number: int, deadline: float = math.inf) -> None:
        """Post the requests of one seed, none after the deadline (monotonic). Raises as `run`."""

        @seed(number)
        @settings(
            max_examples=EXAMPLES_AT_ONCE,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
        )
        @given(drawn=inbound_requests())
        def post(drawn: tuple[str, InboundRequest]) -> None:
            route, request = drawn
            if time.monotonic() < deadline:
                self.counts[route][self.post(request)] += 1

        post()

    def post(self, request: InboundRequest) -> int:
        """Post a request, check its response and note the lead that it accepts. Return the status."""
        answer = self._send(request)
        check_answer(answer, [MARKER], SECRETS)
        if answer.status == 303:
            self._accepted.add(self._redirected_lead_id(request), repr(request))
        elif lead_id := accepted_lead_id(answer):
            self._accepted.add(lead_id, repr(request))
        return answer.status

    def _redirected_lead_id(self, request: InboundRequest) -> str:
        """Return the id of the lead that a redirect accepted: the answer to the same form sent again."""
        headers = tuple(header for header in request.headers if header[0] != "Accept")
        again = self._send(InboundRequest(request.path, headers, request.body))
        lead_id = accepted_lead_id(again)
        if lead_id is None or again.headers.get("idempotent-replayed") != "true":
            raise FuzzFailure(f"the form was accepted with 303, but sent again it is {again.status} and new")
        return lead_id

    def _send(self, request: InboundRequest) -> Answer:
        try:
            answer = self._request(request)
        except httpx.TransportError:
            # The gateway closes a connection whose body it does not read to the end.
            try:
                answer = self._request(request)
            except httpx.TransportError as error:
                raise FuzzFailure(f"there is no response: {type(error).__name__}") from error
        return Answer(answer.status_code, dict(answer.headers), answer.content)

    def _request(self, request: InboundRequest) -> httpx.Response:
        headers = [(name.encode(), value) for name, value in request.headers]
        return self._client.post(request.path, headers=headers, content=request.body)
