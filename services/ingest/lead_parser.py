"""Parses and validates a submission and its idempotency key."""

from typing import Any

from pydantic import ValidationError

from contracts.forgiving import NotJsonError, parse_submission_json, read_key, read_submission
from contracts.leads import LeadSubmission
from runtime.http.problem_details import ProblemError
from services.ingest import problems


def parse_submission(body: bytes, header_key: str | None) -> tuple[LeadSubmission, str | None]:
    """Return the submission and its idempotency key.

    A key in the header takes precedence over one in the body. Raises `ProblemError` with every invalid field
    of the body.
    """
    try:
        submission = parse_submission_json(body)
    except (NotJsonError, ValidationError) as error:
        raise _refusal(error) from None
    key = read_key(header_key) if header_key is not None else None
    return submission, key or submission.request_id


def read_fields(fields: dict[str, Any]) -> LeadSubmission:
    """Return the submission with these fields. Raises `ProblemError` with every invalid field."""
    try:
        return read_submission(fields)
    except (NotJsonError, ValidationError) as error:
        raise _refusal(error) from None


def _refusal(error: NotJsonError | ValidationError) -> ProblemError:
    if isinstance(error, NotJsonError):
        return ProblemError(problems.NOT_JSON)
    return ProblemError(problems.invalid_lead(problems.field_problems(error)))
