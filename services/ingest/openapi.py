"""The OpenAPI description of the routes that accept leads.

FastAPI cannot describe these routes, because they are plain ASGI. The schema of the body is generated from
the contract. A test compares the examples with real responses.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from contracts.leads import EXAMPLE, LeadSubmission
from runtime.http.problem_details import FieldProblem
from services.ingest import problems
from services.ingest.builders.endpoint import PATH as HOOK_PATH
from services.ingest.builders.openapi import hook_operation
from services.ingest.forms import endpoint as forms
from services.ingest.forms.openapi import form_operation
from services.ingest.mail_events.endpoint import PATH as MAIL_EVENT_PATH
from services.ingest.mail_events.openapi import mail_event_operation
from services.ingest.openapi_responses import CORRELATION_HEADER, RETRY_HEADER, TEXT, problem_response
from services.ingest.routes import PATH

_SCHEMAS: Final[dict[str, Any]] = {
    "LeadAccepted": {
        "type": "object",
        "required": ["leadId", "timestamp", "status"],
        "additionalProperties": False,
        "properties": {
            "leadId": {"type": "string", "format": "uuid"},
            "timestamp": {"type": "string", "format": "date-time", "description": "UTC, microseconds."},
            "status": {"const": "received"},
        },
        "examples": [
            {
                "leadId": "7d8f0d0e-5b0a-5c39-9d9e-0c6c0a9f1d11",
                "timestamp": "2024-01-03T10:30:45.123456Z",
                "status": "received",
            }
        ],
    },
    "Problem": {
        "description": "RFC 9457. A message for a person; it never repeats the input.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "errors": {
                "description": "The problem of each invalid field.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": TEXT, "message": TEXT},
                },
            },
        },
    },
}
_RATE_LIMIT_HEADERS: Final = {
    "RateLimit-Policy": {"description": "The rate limit, if one is configured.", "schema": TEXT},
    "RateLimit": {"description": "The remaining requests of the limit.", "schema": TEXT},
}
_REQUEST_HEADERS: Final = (
    (
        "Idempotency-Key",
        "1 to 255 printable ASCII characters, quoted or not; the same for each retry.",
        "6f1c1f0e-5f0a",
    ),
    ("X-Request-ID", "For correlation only; 1 to 128 letters, digits, dots, dashes, colons.", None),
    ("traceparent", "W3C trace context, which is passed on.", None),
)
_INVALID: Final = problems.invalid_lead([FieldProblem(field="email", message="is required")])


def describe(app: FastAPI) -> None:
    """Include the routes that accept leads in the app's OpenAPI document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build_document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


def _build_document(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, models = models_json_schema(
        [(LeadSubmission, "validation")], ref_template="#/components/schemas/{model}"
    )
    for model in models["$defs"].values():
        for field in model.get("properties", {}).values():
            # Client generators treat a field with a default as always present; these may be missing.
            field.pop("default", None)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update({**models["$defs"], **_SCHEMAS})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["paths"] = {
        PATH: {"post": _operation()},
        forms.PATH: {"post": form_operation()},
        HOOK_PATH: {"post": hook_operation()},
        MAIL_EVENT_PATH: {"post": mail_event_operation()},
        **schema["paths"],
    }
    return schema


def _operation() -> dict[str, Any]:
    return {
        "tags": ["leads"],
        "summary": "Submit a lead",
        "description": (
            "A 201 means that the lead is stored durably. Send an Idempotency-Key, and retry with it "
            "after a 408, 429, 500 or 503: the same key always returns the same leadId. Unknown fields are "
            "kept, up to 64 KiB in total; beyond that the longest values are shortened. Spam gets a 201, too."
        ),
        "operationId": "submit_lead",
        "security": [{"token": []}],
        "parameters": [
            {"in": "header", "name": name, "description": text, "schema": TEXT}
            | ({"example": example} if example else {})
            for name, text, example in _REQUEST_HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/LeadSubmission"},
                    "example": EXAMPLE,
                }
            },
        },
        "responses": {
            "201": {
                "description": "The lead is stored durably.",
                "headers": {
                    **CORRELATION_HEADER,
                    **_RATE_LIMIT_HEADERS,
                    "Idempotent-Replayed": {
                        "description": "`true` if this gateway has already answered this key.",
                        "schema": {"const": "true"},
                    },
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LeadAccepted"}}},
            },
            "400": problem_response("The body is not JSON.", problems.NOT_JSON),
            "401": problem_response(
                "No valid token.",
                problems.UNAUTHORIZED,
                {"WWW-Authenticate": {"description": "Bearer.", "schema": TEXT}},
            ),
            "408": problem_response("The body took too long to arrive.", problems.TOO_SLOW),
            "413": problem_response("The body is larger than 256 KiB.", problems.TOO_LARGE),
            "415": problem_response(
                "Not a JSON media type, or an encoded body.", problems.UNSUPPORTED_MEDIA_TYPE
            ),
            "422": problem_response(
                "No way to answer, no content, a message that is too long, or a key used for another lead.",
                _INVALID,
            ),
            "429": problem_response(
                "The rate limit of this token is exceeded.",
                problems.too_many_requests(30),
                {**RETRY_HEADER, **_RATE_LIMIT_HEADERS},
            ),
            "500": problem_response("An internal error.", problems.INTERNAL_ERROR),
            "503": problem_response(
                "The lead cannot be stored durably now.", problems.UNAVAILABLE, RETRY_HEADER
            ),
        },
    }
