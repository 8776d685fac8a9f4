"""The 201 is built without Starlette's steps, and equals what Starlette builds."""

import pytest
from starlette.responses import Response
from uuid_utils.compat import uuid7

from services.ingest.lead_acceptance import AcceptedLead
from services.ingest.responses import accepted_json, created


@pytest.mark.parametrize("replayed", [False, True])
def test_created_equals_a_response_of_starlette_s(*, replayed: bool) -> None:
    lead = AcceptedLead(uuid7(), "2024-01-03T10:30:42.000000Z", replayed)
    headers = {"X-Request-ID": "r1", "RateLimit": '"token";r=1;t=60'}
    response = created(lead, headers)
    expected = Response(
        accepted_json(lead),
        201,
        headers | ({"Idempotent-Replayed": "true"} if replayed else {}),
        media_type="application/json",
    )
    names = ("status_code", "body", "raw_headers", "background")
    assert [getattr(response, name) for name in names] == [getattr(expected, name) for name in names]
