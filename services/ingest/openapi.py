"""The OpenAPI description of `POST /inbound/leads`, by hand: a plain route describes nothing itself."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from contracts.leads import EXAMPLE, LeadSubmission
from runtime.http.problem_details import MEDIA_TYPE, FieldProblem, Problem
from services.ingest import problems
from services.ingest.routes import PATH

_TEXT: Final = {"type": "string"}
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
        "description": "RFC 9457. A message for a person; it never repeats what was sent.",
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "errors": {
                "description": "Every field's problem, where fields are at fault.",
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": _TEXT, "message": _TEXT},
                },
            },
        },
    },
}
_CORRELATION: Final = {"X-Request-ID": {"description": "The request's id in our logs.", "schema": _TEXT}}
_LIMITS: Final = {
    "RateLimit-Policy": {"description": "The flood limit, where there is one.", "schema": _TEXT},
    "RateLimit": {"description": "What is left of it.", "schema": _TEXT},
}
_RETRY: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_HEADERS: Final = (
    ("Idempotency-Key", "1 to 255 printable ASCII characters; each retry sends the same.", "6f1c1f0e-5f0a"),
    ("X-Request-ID", "For correlation only; 1 to 128 letters, digits, dots, dashes, colons.", None),
    ("traceparent", "W3C trace context, passed on.", None),
)
_INVALID: Final = problems.invalid_lead([FieldProblem(field="email", message="is required")])


def describe(app: FastAPI) -> None:
    """Let the app's OpenAPI document include the plain route."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


def _build(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, models = models_json_schema(
        [(LeadSubmission, "validation")], ref_template="#/components/schemas/{model}"
    )
    for model in models["$defs"].values():
        for field in model.get("properties", {}).values():
            # What may be left out is null then; but to generators of clients a default means "always there".
            field.pop("default", None)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update({**models["$defs"], **_SCHEMAS})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["paths"] = {PATH: {"post": _operation()}, **schema["paths"]}
    return schema


def _operation() -> dict[str, Any]:
    return {
        "tags": ["leads"],
        "summary": "Hand in a lead",
        "description": (
            "A 201 means that the lead is stored durably. Send an Idempotency-Key and repeat the request "
            "until there is a final answer: 408, 429, 500 and 503 are not final, and the same key gives "
            "the same leadId. Unknown fields are kept, up to 64 KiB in total; beyond that the longest values "
            "are shortened. What looks like spam gets a 201 too."
        ),
        "operationId": "submit_lead",
        "security": [{"token": []}],
        "parameters": [
            {"in": "header", "name": name, "description": text, "schema": _TEXT}
            | ({"example": example} if example else {})
            for name, text, example in _HEADERS
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
                "description": "The lead is safe.",
                "headers": {
                    **_CORRELATION,
                    **_LIMITS,
                    "Idempotent-Replayed": {
                        "description": "true where this gateway knows that the key was answered before.",
                        "schema": {"const": "true"},
                    },
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LeadAccepted"}}},
            },
            "400": _refusal("Not JSON.", problems.NOT_JSON),
            "401": _refusal(
                "No valid token.",
                problems.UNAUTHORIZED,
                {"WWW-Authenticate": {"description": "Bearer.", "schema": _TEXT}},
            ),
            "408": _refusal("The body took too long to arrive.", problems.TOO_SLOW),
            "413": _refusal("More than 256 KiB.", problems.TOO_LARGE),
            "415": _refusal("Not a JSON media type, or an encoded body.", problems.UNSUPPORTED_MEDIA_TYPE),
            "422": _refusal("Fields that cannot be accepted, or a key used for another lead.", _INVALID),
            "429": _refusal(
                "The flood limit of this token.", problems.too_many_requests(30), {**_RETRY, **_LIMITS}
            ),
            "500": _refusal("A fault of ours.", problems.INTERNAL_ERROR),
            "503": _refusal("The lead could not be made durable now.", problems.UNAVAILABLE, _RETRY),
        },
    }


def _refusal(description: str, problem: Problem, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {**_CORRELATION, **(headers or {})},
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem.members()}
        },
    }
