"""The OpenAPI description of `POST /inbound/hooks/{hook_key}`."""

from typing import Any, Final

from runtime.http.problem_details import FieldProblem
from services.ingest import problems
from services.ingest.forms.body import FORM_UNREADABLE, MULTIPART, UNSUPPORTED_FORM, URLENCODED
from services.ingest.openapi_responses import CORRELATION_HEADER, RETRY_HEADER, TEXT, problem_response

_EXAMPLE: Final = {"name": "Ada Lovelace", "email": "ada@example.com", "message": "Please call me."}
_ERRORS: Final = [FieldProblem(field="email", message="is required, unless a phone number is given")]

_ANSWER: Final[dict[str, Any]] = {
    "anyOf": [
        {"$ref": "#/components/schemas/LeadAccepted"},
        {
            "title": "LeadNeedsCorrection",
            "type": "object",
            "required": ["leadId", "timestamp", "status"],
            "properties": {
                "leadId": {"type": "string", "format": "uuid"},
                "timestamp": {"type": "string", "format": "date-time"},
                "status": {"type": "string", "const": "needs-correction"},
            },
        },
    ]
}


def hook_operation() -> dict[str, Any]:
    """Return the OpenAPI operation."""
    refusals = {
        "400": ("The body is not what its Content-Type says.", FORM_UNREADABLE),
        "401": ("The signature is missing or wrong.", problems.WRONG_SIGNATURE),
        "404": ("No site has this webhook key.", problems.UNKNOWN_HOOK),
        "408": ("The body took too long to arrive.", problems.TOO_SLOW),
        "413": ("More than 256 KiB.", problems.TOO_LARGE),
        "415": ("Not a form and not JSON, or an encoded body.", UNSUPPORTED_FORM),
        "422": ("The payload has no field of a lead, or is spam.", problems.invalid_lead(_ERRORS)),
        "500": ("An internal error.", problems.INTERNAL_ERROR),
    }
    return {
        "tags": ["leads"],
        "summary": "Submit the answers of a form builder",
        "description": (
            "The payloads of sixteen form builders and of any other that posts names and answers. The path"
            " holds a secret. The answer is exactly 200, because some builders take a 201 for an error."
        ),
        "operationId": "submit_hook",
        "parameters": [
            {
                "in": "path",
                "name": "hook_key",
                "required": True,
                "description": "One of `hook_keys` of a site in the sites file. It is a secret.",
                "schema": TEXT,
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": {"type": "object", "additionalProperties": True}, "example": _EXAMPLE}
                for media_type in ("application/json", URLENCODED, MULTIPART)
            },
        },
        "responses": {
            "200": {
                "description": (
                    "The lead is stored durably. With the status `needs-correction` it is invalid, and is"
                    " kept among the failed deliveries until somebody corrects it."
                ),
                "headers": CORRELATION_HEADER,
                "content": {"application/json": {"schema": _ANSWER}},
            },
            **{
                status: problem_response(description, problem)
                for status, (description, problem) in refusals.items()
            },
            "429": problem_response(
                "The rate limit of this site is exceeded.", problems.too_many_requests(30), RETRY_HEADER
            ),
            "503": problem_response(
                "The lead cannot be stored durably now.", problems.UNAVAILABLE, RETRY_HEADER
            ),
        },
    }
