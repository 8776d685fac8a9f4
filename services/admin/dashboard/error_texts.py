"""Texts of the error pages, and of the errors in forms. No I/O."""

from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError

from services.admin.dashboard.formatting import field_label

ERROR_TITLES: Final = {
    403: "Form rejected",
    404: "Not found",
    409: "Action not possible",
    413: "Request too large",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal error",
    503: "Temporarily unavailable",
}
# What a person does next, shown below the message of an error page.
ERROR_NEXT_STEPS: Final = {
    403: "Go back, reload the page and try again.",
    404: "Check the link, or search for the lead.",
    409: "Go back and reload the page to see the current state.",
    413: "Shorten the text and try again.",
    422: "Go back, correct the input and try again.",
    429: "Wait a minute, then try again.",
    500: "Try again. If the error persists, contact whoever operates FASTCore.",
    503: "Try again in a minute. New leads are still accepted and none is lost."
    " The overview shows which components are unavailable.",
}
# What is wrong with a form field, by pydantic's error type; other errors have pydantic's text.
FIELD_ERRORS: Final = {
    "missing": "this field is required",
    "uuid_parsing": "this is not a valid ID",
    "date_from_datetime_parsing": "this is not a valid date",
    "date_parsing": "this is not a valid date",
    "int_parsing": "this is not a whole number",
    "enum": "this is not one of the available options",
    "literal_error": "this is not one of the available options",
}

# Fields whose labels on the page are not their names.
FIELD_LABELS: Final = {"q": "Search", "since": "From", "until": "To"}


def error_title(status: int) -> str:
    """Return the heading of the error page for an HTTP status."""
    return ERROR_TITLES.get(status) or HTTPStatus(status).phrase


def validation_message(error: RequestValidationError) -> str:
    """Return which fields are invalid and why. The message never contains the submitted values."""
    messages = []
    for item in error.errors():
        problem = FIELD_ERRORS.get(item.get("type", "")) or str(item["msg"]).removeprefix("Value error, ")
        name = str(item["loc"][-1])
        messages.append(f"{FIELD_LABELS.get(name) or field_label(name)}: {problem}.")
    return " ".join(messages)
