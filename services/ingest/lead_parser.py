"""Parses and validates a submission and its idempotency key."""

from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from contracts.field_types import IdempotencyKey
from contracts.leads import LeadSubmission
from runtime.http.problem_details import FieldProblem, ProblemError
from services.ingest import problems

_KEY: Final = TypeAdapter[str](IdempotencyKey)


def parse_submission(body: bytes, header_key: str | None) -> tuple[LeadSubmission, str | None]:
    """Return the submission and its idempotency key. The header's key takes precedence over the body's.

    Raises `ProblemError` with every invalid field of the body and the header at once.
    """
    errors: list[FieldProblem] = []
    key = None
    if header_key is not None:
        try:
            key = _KEY.validate_python(header_key)
        except ValidationError:
            message = "must be 1 to 255 printable ASCII characters"
            errors.append(FieldProblem(field="Idempotency-Key", message=message))
    # pydantic accepts NaN and Infinity, which JSON does not know. A second parse finds them; it is needed
    # only if these letters occur, and would double the cost of every body.
    if b"NaN" in body or b"Infinity" in body:
        _reject_nan(body)
    try:
        submission = LeadSubmission.model_validate_json(body)
    except ValidationError as error:
        if problems.is_not_json(error):
            raise ProblemError(problems.NOT_JSON) from None
        errors += problems.field_problems(error)
    if errors:
        raise ProblemError(problems.invalid_lead(errors))
    return submission, key or submission.request_id


def _reject_nan(body: bytes) -> None:
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        raise ProblemError(problems.NOT_JSON) from None
