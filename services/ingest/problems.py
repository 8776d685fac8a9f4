"""Every refusal as RFC 9457 problem+json: what was wrong and what to do, never the offending data."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import Response

from contracts.leads import LeadSubmission

MEDIA_TYPE: Final = "application/problem+json"
BODY: Final = "body"
_DATE: Final = "must be a date and time with its zone, such as 2024-01-03T10:30:45Z"
_MESSAGES: Final = {
    "missing": "is required",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
    "string_pattern_mismatch": "must be 1 to 255 printable ASCII characters",
    "model_type": "must be a JSON object",
    "timezone_aware": _DATE,
}


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field. Names that we do not know are called `extra`: they are input."""

    field: str
    message: str


@dataclass(frozen=True)
class Problem:
    """One refusal. `code` is its word in the type, the metrics and the audit log."""

    status: HTTPStatus
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the members of RFC 9457, and `errors` where fields are at fault."""
        members: dict[str, Any] = {
            "type": f"urn:fastcore:problem:{self.code}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = [vars(error) for error in self.errors]
        return members

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Render it."""
        return Response(
            json.dumps(self.body()),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers={**self.headers, **(headers or {})},
        )


class Refused(Exception):
    """A request is refused: answer its problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


UNAUTHORIZED: Final = Problem(
    HTTPStatus.UNAUTHORIZED,
    "unauthorized",
    "Send a valid token: Authorization: Bearer <token>.",
    headers={"WWW-Authenticate": 'Bearer realm="fastcore"'},
)
TOO_LARGE: Final = Problem(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "A lead may be at most 256 KiB of JSON."
)
TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT, "too-slow", "The body did not arrive in time. Send the lead again."
)
DISCONNECTED: Final = replace(TOO_SLOW, code="disconnected")
MEDIA: Final = Problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported-media-type",
    "Send JSON: Content-Type: application/json.",
    headers={"Accept": "application/json"},
)
ENCODING: Final = Problem(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported-encoding",
    "Send the body without a Content-Encoding.",
    headers={"Accept-Encoding": "identity"},
)
NOT_JSON: Final = Problem(
    HTTPStatus.BAD_REQUEST, "not-json", "The body must be one JSON object in UTF-8, without NaN or Infinity."
)
KEY_REUSED: Final = Problem(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "key-reused",
    "This idempotency key was used for another lead. Use a new key for each new lead.",
)
UNAVAILABLE: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "The lead could not be stored safely now. Send it again, with the same idempotency key.",
    headers={"Retry-After": "5"},
)
BUG: Final = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal-error",
    "Something went wrong on our side. Send the lead again.",
)


def too_many(retry_after_seconds: int) -> Problem:
    """Refuse by the flood limit."""
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        f"Too many requests with this token. Try again in {retry_after_seconds} s.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Describe what the framework refused by itself: 404, 405."""
    known = HTTPStatus(status)
    return Problem(
        known, known.phrase.lower().replace(" ", "-"), known.description or known.phrase, (), headers or {}
    )


def invalid(errors: Iterable[FieldError]) -> Problem:
    """Refuse a lead, naming every field's problem."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-lead",
        "The lead has fields that cannot be accepted; errors names them.",
        tuple(dict.fromkeys(errors)),
    )


def is_not_json(error: ValidationError) -> bool:
    """Return True where the body could not even be read as JSON."""
    return any(
        item["type"] == "json_invalid" for item in error.errors(include_input=False, include_url=False)
    )


def field_errors(error: ValidationError) -> list[FieldError]:
    """Say in words for people what pydantic found. Its own messages quote the input."""
    return [
        FieldError(_name(item["loc"], item["type"]), _message(item["type"], item.get("ctx", {}), item["loc"]))
        for item in error.errors(include_input=False, include_url=False)
    ]


def _name(loc: tuple[int | str, ...], kind: str) -> str:
    if loc and loc[0] in LeadSubmission.model_fields:
        return ".".join(str(part) for part in loc)
    return "extra" if loc or kind == "value_error" else BODY


def _message(kind: str, context: Mapping[str, Any], loc: tuple[int | str, ...]) -> str:
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(context)
    if kind == "value_error" and "error" in context:
        return str(context["error"])  # Raised by our own contract, in our own words.
    if loc == ("email",):
        return "must be an email address, such as name@example.com"
    if kind.startswith(("datetime", "date_")):
        return _DATE
    return "is not valid"
