"""Texts of the error pages, and of the errors in forms. No I/O."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.admin.dashboard.labels import field_label
from services.admin.texts import gettext, gettext_noop

ERROR_TITLES: Final = {
    403: gettext_noop("Form rejected"),
    404: gettext_noop("Not found"),
    409: gettext_noop("Action not possible"),
    413: gettext_noop("Request too large"),
    422: gettext_noop("Invalid input"),
    429: gettext_noop("Too many requests"),
    500: gettext_noop("Internal error"),
    503: gettext_noop("Temporarily unavailable"),
}
# What a person does next, shown below the message of an error page.
ERROR_NEXT_STEPS: Final = {
    403: gettext_noop("Go back, reload the page and try again."),
    404: gettext_noop("Check the link, or search for the lead."),
    409: gettext_noop("Go back and reload the page to see the current state."),
    413: gettext_noop("Shorten the text and try again."),
    422: gettext_noop("Go back, correct the input and try again."),
    429: gettext_noop("Wait a minute, then try again."),
    500: gettext_noop("Try again. If the error persists, contact whoever operates FASTCore."),
    503: gettext_noop(
        "Try again in a minute. New leads are still accepted and none is lost."
        " The system status shows which components are unavailable."
    ),
}
# What is wrong with a request that never reached a page, by its HTTP status.
HTTP_ERRORS: Final = {
    404: gettext_noop("This page does not exist."),
    405: gettext_noop("This page cannot do that. Nothing was changed."),
    408: gettext_noop("The request took too long to arrive. Nothing was changed."),
    413: gettext_noop("The request is too large. Nothing was changed."),
    429: gettext_noop("There were too many requests. Nothing was changed."),
}
OUTAGES: Final = {
    "database": gettext_noop("The database is unavailable. Nothing was changed."),
    "kafka": gettext_noop("Kafka is unavailable. Nothing was changed."),
    "smtp": gettext_noop("The mail server is unavailable. Nothing was changed."),
}
# The message for an invalid form field, by pydantic's error type, with values of pydantic's context. Errors
# of our own validators have their own texts. All other errors have `OTHER_FIELD_ERROR`.
FIELD_ERRORS: Final = {
    "missing": gettext_noop("this field is required"),
    "uuid_parsing": gettext_noop("this is not a valid ID"),
    "date_from_datetime_parsing": gettext_noop("this is not a valid date"),
    "date_parsing": gettext_noop("this is not a valid date"),
    "int_parsing": gettext_noop("this is not a whole number"),
    "int_from_float": gettext_noop("this is not a whole number"),
    "bool_parsing": gettext_noop("this is neither yes nor no"),
    "datetime_parsing": gettext_noop("this is not a valid time"),
    "datetime_from_date_parsing": gettext_noop("this is not a valid time"),
    "string_too_short": gettext_noop("this must have at least %(min_length)s characters"),
    "string_too_long": gettext_noop("this may have at most %(max_length)s characters"),
    "too_long": gettext_noop("these may be at most %(max_length)s"),
    "greater_than_equal": gettext_noop("this must be at least %(ge)s"),
    "less_than_equal": gettext_noop("this may be at most %(le)s"),
    "enum": gettext_noop("this is not one of the available options"),
    "literal_error": gettext_noop("this is not one of the available options"),
}
OTHER_FIELD_ERROR: Final = gettext_noop("this is not valid")
_OWN_ERROR: Final = "Value error, "

# What to enter in a field of a lead, whatever is wrong with the text.
EDIT_ERRORS: Final = {
    "email": gettext_noop("Enter a complete email address, such as name@example.com."),
    "service": gettext_noop("Enter a service of at most 200 characters."),
}
# Fields whose labels on the page are not their names.
FIELD_LABELS: Final = {
    "q": gettext_noop("Search"),
    "since": gettext_noop("From"),
    "until": gettext_noop("To"),
}


def error_title(status: int) -> str:
    """Return the heading of the error page for an HTTP status."""
    title = ERROR_TITLES.get(status)
    return gettext(title) if title else gettext("Request not possible")


def http_message(status: int) -> str:
    """Return the message for a request that the framework rejects with this HTTP status."""
    text = HTTP_ERRORS.get(status)
    return gettext(text) if text else gettext("The request was refused. Nothing was changed.")


def outage_message(dependency: str) -> str:
    """Return the message for a dependency that is unavailable. `dependency` is its name in `/readyz`."""
    text = OUTAGES.get(dependency)
    return gettext(text) if text else gettext("A component is unavailable. Nothing was changed.")


def next_step(status: int) -> str:
    """Return what a person can do after an error with this HTTP status, or an empty text."""
    text = ERROR_NEXT_STEPS.get(status)
    return gettext(text) if text else ""


def edit_errors(error: ValidationError) -> dict[str, str]:
    """Return the error message of each invalid field of an edited lead, keyed by the field's name.

    No message contains the submitted value.
    """
    texts = {}
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "string_too_long":
            text = gettext(
                "Shorten the text to at most %(count)s characters.", count=item["ctx"]["max_length"]
            )
        else:
            text = gettext("This text cannot be saved. Type it again without special characters.")
        texts[name] = gettext(EDIT_ERRORS[name]) if name in EDIT_ERRORS else text
    return texts


def validation_message(error: RequestValidationError) -> str:
    """Return which fields are invalid and why. The message contains no submitted value."""
    messages = []
    for item in error.errors():
        # The last part is a number for an item of a list.
        name = next(part for part in reversed(item["loc"]) if isinstance(part, str))
        label = gettext(FIELD_LABELS[name]) if name in FIELD_LABELS else field_label(name)
        messages.append(gettext("%(field)s: %(problem)s.", field=label, problem=_problem(item)))
    return " ".join(messages)


def _problem(item: Mapping[str, Any]) -> str:
    """Return the message about an invalid field. `item` is an error of pydantic."""
    if known := FIELD_ERRORS.get(item.get("type", "")):
        return gettext(known, **item.get("ctx", {}))
    text = str(item["msg"])
    # The validators of the schemas raise texts of the catalogue.
    return gettext(text.removeprefix(_OWN_ERROR) if text.startswith(_OWN_ERROR) else OTHER_FIELD_ERROR)
