"""The OpenAPI description of `POST /inbound/forms/{form_key}`."""

from typing import Any, Final

from runtime.http.problem_details import FieldProblem
from services.ingest import problems
from services.ingest.forms.body import FORM_UNREADABLE, MULTIPART, UNSUPPORTED_FORM, URLENCODED
from services.ingest.openapi_responses import CORRELATION_HEADER, RETRY_HEADER, TEXT, problem_response

_FORM: Final = {
    "type": "object",
    "description": "The fields of the form, under any names. `_next`, `_key` and `_gotcha` are not answers.",
    "properties": {
        "_next": {**TEXT, "description": "The page to show afterwards, on one of the site's origins."},
        "_key": {**TEXT, "description": "An idempotency key: the same form with the same key is one lead."},
        "_gotcha": {**TEXT, "description": "A hidden field. Any value marks the lead as spam."},
    },
    "additionalProperties": True,
}
_EXAMPLE: Final = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "message": "Please call me.",
    "_next": "/thanks",
}
_ERRORS: Final = [FieldProblem(field="message", message="is required, unless another question is answered")]
_PAGE: Final = {"text/html": {"schema": TEXT}}


def form_operation() -> dict[str, Any]:
    """Return the OpenAPI operation."""
    refusals = {
        "400": ("The body is not what its Content-Type says.", FORM_UNREADABLE),
        "403": ("The page is on none of the site's origins.", problems.WRONG_ORIGIN),
        "404": ("No site has this form key.", problems.UNKNOWN_FORM),
        "408": ("The body took too long to arrive.", problems.TOO_SLOW),
        "413": (
            "More than 256 KiB of text, or 32 MiB with the files.",
            problems.TOO_LARGE,
        ),
        "415": ("Not a form and not JSON, or an encoded body.", UNSUPPORTED_FORM),
        "422": (
            "The lead has no way to answer or no content, or its message is too long.",
            problems.invalid_lead(_ERRORS),
        ),
        "500": ("An internal error.", problems.INTERNAL_ERROR),
    }
    return {
        "tags": ["leads"],
        "summary": "Submit an HTML form",
        "description": (
            "For the form of a web page, without a script and without a secret. `Origin` or `Referer` must be"
            " one of the site's origins. A browser, which accepts text/html, gets a page or a redirect; every"
            " other client gets JSON."
        ),
        "operationId": "submit_form",
        "parameters": [
            {
                "in": "path",
                "name": "form_key",
                "required": True,
                "description": "`form_key` of a site in the sites file. It is no secret.",
                "schema": TEXT,
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": _FORM, "example": _EXAMPLE}
                for media_type in (URLENCODED, MULTIPART, "application/json")
            },
        },
        "responses": {
            "201": {
                "description": "The lead is stored durably.",
                "headers": CORRELATION_HEADER,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LeadAccepted"}}},
            },
            "303": {
                "description": "The lead is stored durably. The next page of a browser.",
                "headers": {**CORRELATION_HEADER, "Location": {"description": "The page.", "schema": TEXT}},
            },
            **{
                status: _with_page(problem_response(description, problem))
                for status, (description, problem) in refusals.items()
            },
            "503": _with_page(
                problem_response("The lead cannot be stored durably now.", problems.UNAVAILABLE, RETRY_HEADER)
            ),
        },
    }


def _with_page(response: dict[str, Any]) -> dict[str, Any]:
    return {**response, "content": {**response["content"], **_PAGE}}
