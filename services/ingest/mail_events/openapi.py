"""The OpenAPI description of `POST /inbound/mail-events/{provider}`."""

from typing import Any

from services.ingest import problems
from services.ingest.mail_events.endpoint import NAMES
from services.ingest.openapi_responses import CORRELATION_HEADER, RETRY_HEADER, problem_response


def mail_event_operation() -> dict[str, Any]:
    """Return the OpenAPI operation."""
    refusals = {
        "401": ("The signature or the secret is missing or wrong.", problems.FORGED_EVENTS),
        "404": ("No secret of this provider is configured.", problems.UNKNOWN_PROVIDER),
        "408": ("The body took too long to arrive.", problems.TOO_SLOW),
        "413": ("The body is larger than 1 MiB.", problems.TOO_LARGE),
        "415": ("The body is encoded.", problems.UNSUPPORTED_ENCODING),
        "422": ("The body is not what the provider documents.", problems.INVALID_EVENTS),
        "500": ("An internal error.", problems.INTERNAL_ERROR),
    }
    return {
        "tags": ["mail"],
        "summary": "Receive bounces and complaints from a mail provider",
        "description": (
            "The webhook of the provider, in the provider's own format. 200 means that Kafka has the events."
            " Events other than bounces and complaints are ignored."
        ),
        "operationId": "submit_mail_events",
        "parameters": [
            {
                "in": "path",
                "name": "provider",
                "required": True,
                "description": "The mail provider.",
                "schema": {"type": "string", "enum": list(NAMES)},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": {"description": "The payload of the provider."}}
                for media_type in ("application/json", "text/plain")
            },
        },
        "responses": {
            "200": {"description": "Kafka has the events.", "headers": CORRELATION_HEADER},
            **{
                status: problem_response(description, problem)
                for status, (description, problem) in refusals.items()
            },
            "503": problem_response(
                "Kafka, or the server with Amazon's certificate, is unavailable.",
                problems.EVENTS_UNAVAILABLE,
                RETRY_HEADER,
            ),
        },
    }
