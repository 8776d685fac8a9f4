"""Texts of the error pages, and of the errors in forms. No I/O."""

from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

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
    " The system status shows which components are unavailable.",
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

# What to enter in a field of a lead, whatever is wrong with the text.
EDIT_ERRORS: Final = {
    "email": "Enter a complete email address, such as name@example.com.",
    "service": "Enter a service of at most 200 characters.",
}
# Fields whose labels on the page are not their names.
FIELD_LABELS: Final = {"q": "Search", "since": "From", "until": "To"}


def error_title(status: int) -> str:
    """Return the heading of the error page for an HTTP status."""
    return ERROR_TITLES.get(status) or HTTPStatus(status).phrase


def edit_errors(error: ValidationError) -> dict[str, str]:
    """Return an error message for each invalid field of an edited lead, by field.

    No message contains the submitted value.
    """
    texts = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "string_too_long":
            text = f"Shorten the text to at most {item['ctx']['max_length']:,} characters."
        else:
            text = "This text cannot be saved. Type it again without special characters."
        texts[name] = EDIT_ERRORS.get(name, text)
    return texts


def validation_message(error: RequestValidationError) -> str:
    """Return which fields are invalid and why. The message contains no submitted value."""
    messages = []
    for item in error.errors():
        problem = FIELD_ERRORS.get(item.get("type", "")) or str(item["msg"]).removeprefix("Value error, ")
        # The last part is a number for an item of a list.
        name = next(part for part in reversed(item["loc"]) if isinstance(part, str))
        messages.append(f"{FIELD_LABELS.get(name) or field_label(name)}: {problem}.")
    return " ".join(messages)
