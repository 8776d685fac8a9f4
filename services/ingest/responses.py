"""What the responses of the gateway's entry points have in common."""

import re
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response

from services.ingest.lead_acceptance import AcceptedLead

# Excludes @ and blanks: the id goes into logs and headers, which must not hold a person's address or name.
CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")


def created(lead: AcceptedLead, headers: dict[str, str]) -> Response:
    """Return the 201 response for a lead that has been stored durably."""
    body = {"leadId": lead.lead_id, "timestamp": lead.timestamp, "status": "received"}
    if lead.replayed:
        headers = {**headers, "Idempotent-Replayed": "true"}
    return Response(to_json(body), status_code=201, media_type="application/json", headers=headers)
