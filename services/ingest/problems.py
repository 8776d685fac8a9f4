"""The gateway's catalogue of problems, and the words for each field error of a submission.

A problem says what is wrong and what to do. It never repeats the input.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError

from contracts.leads import INCOMPLETE, field_name
from runtime.http.problem_details import FieldProblem, Problem

# `contracts.forgiving` reads every other value of any shape.
_MESSAGES: Final = {
    "string_type": "must be text",
    "string_too_long": "must be at most {max_length} characters",
    "model_type": "must be a JSON object",
}
_MISSING: Final = {
    "email": FieldProblem(field="email", message="is required, unless a phone number is given"),
    "message": FieldProblem(field="message", message="is required, unless another question is answered"),
}

UNAUTHORIZED: Final = Problem.build(
    HTTPStatus.UNAUTHORIZED,
    "Send a valid token: Authorization: Bearer <token>.",
    headers={"WWW-Authenticate": 'Bearer realm="fastcore"'},
)
TOO_LARGE: Final = Problem.build(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A lead may be at most 256 KiB of text.", code="too-large"
)
TOO_SLOW: Final = Problem.build(
    HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time. Send the lead again.", code="too-slow"
)
DISCONNECTED: Final = Problem.build(HTTPStatus.REQUEST_TIMEOUT, TOO_SLOW.detail, code="disconnected")
UNSUPPORTED_MEDIA_TYPE: Final = Problem.build(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "Send JSON: Content-Type: application/json.",
    headers={"Accept": "application/json"},
)
UNSUPPORTED_ENCODING: Final = Problem.build(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "Send the body without a Content-Encoding.",
    code="unsupported-encoding",
    headers={"Accept-Encoding": "identity"},
)
NOT_JSON: Final = Problem.build(
    HTTPStatus.BAD_REQUEST,
    "The body must be one JSON object in UTF-8, without NaN or Infinity.",
    code="not-json",
)
KEY_REUSED: Final = Problem.build(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "This idempotency key was used for another lead. Use a new key for each new lead.",
    code="key-reused",
)
UNKNOWN_FORM: Final = Problem.build(
    HTTPStatus.NOT_FOUND,
    "No site has this form key. Compare it with form_key in the sites file.",
    code="unknown-form",
)
UNKNOWN_HOOK: Final = Problem.build(
    HTTPStatus.NOT_FOUND,
    "No site has this webhook key. Compare the address with hook_keys in the sites file.",
    code="unknown-hook",
)
WRONG_SIGNATURE: Final = Problem.build(
    HTTPStatus.UNAUTHORIZED,
    "The signature is missing or wrong. Compare the form builder's secret with signing_secrets in the sites"
    " file.",
    code="wrong-signature",
)
UNKNOWN_PROVIDER: Final = Problem.build(
    HTTPStatus.NOT_FOUND,
    "No secret of this mail provider is configured. Set its FASTCORE_MAIL_EVENTS variable.",
    code="unknown-provider",
)
FORGED_EVENTS: Final = Problem.build(
    HTTPStatus.UNAUTHORIZED,
    "The signature or the secret is missing or wrong. Compare it with the FASTCORE_MAIL_EVENTS variables.",
    code="forged-events",
)
INVALID_EVENTS: Final = Problem.build(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The body is not a payload that this mail provider documents.",
    code="invalid-events",
)
EVENTS_UNAVAILABLE: Final = Problem.build(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The events could not be stored safely now. Send them again.",
    code="unavailable",
    headers={"Retry-After": "5"},
)
WRONG_ORIGIN: Final = Problem.build(
    HTTPStatus.FORBIDDEN,
    "The page that sent this form is on none of the site's origins, or its Referrer-Policy hides its origin."
    " Add the page's origin to the site's origins in the sites file.",
    code="wrong-origin",
)
UNAVAILABLE: Final = Problem.build(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The lead could not be stored safely now. Send it again, with the same idempotency key.",
    code="unavailable",
    headers={"Retry-After": "5"},
)
INTERNAL_ERROR: Final = Problem.build(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Something went wrong on our side. Send the lead again.",
    code="internal-error",
)


def too_many_requests(retry_after_seconds: int) -> Problem:
    """Return the problem of a client that exceeds its rate limit."""
    return Problem.build(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many requests with this token. Try again in {retry_after_seconds} s.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def for_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of a request that the framework rejects, such as a 404 or a 405."""
    known = HTTPStatus(status)
    return Problem.build(known, known.description or known.phrase, headers=headers)


def invalid_lead(errors: Iterable[FieldProblem]) -> Problem:
    """Return the problem of a lead with invalid fields. Duplicate errors are removed."""
    return Problem.build(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The lead has fields that cannot be accepted; errors names them.",
        code="invalid-lead",
        errors=dict.fromkeys(errors),
    )


def field_problems(error: ValidationError) -> list[FieldProblem]:
    """Return pydantic's errors as plain messages.

    pydantic's own messages cannot be used: they quote the input.
    """
    found = list[FieldProblem]()
    for item in error.errors(include_input=False, include_url=False):
        if item["type"] == INCOMPLETE:
            found += [_MISSING[name] for name in item["ctx"]["fields"]]
        else:
            field = field_name(item["loc"])
            found.append(
                FieldProblem(field=field, message=_message(item["type"], item.get("ctx", {}), field))
            )
    return found


def _message(kind: str, context: Mapping[str, Any], field: str) -> str:
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(context)
    return "must be an email address, such as name@example.com" if field == "email" else "is not valid"
