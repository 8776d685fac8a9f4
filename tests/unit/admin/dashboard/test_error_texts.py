"""Every error page has a title and a next step; a form's errors name the field and not its value."""

from fastapi.exceptions import RequestValidationError

from services.admin.dashboard import error_texts


def test_every_error_title_has_a_next_step() -> None:
    assert set(error_texts.ERROR_TITLES) == set(error_texts.ERROR_NEXT_STEPS)


def test_error_title_falls_back_to_the_http_phrase() -> None:
    assert error_texts.error_title(404) == "Not found"
    assert error_texts.error_title(405) == "Method Not Allowed"


def test_validation_message_names_the_field_and_not_its_value() -> None:
    error = RequestValidationError([{"loc": ("body", "lead_id"), "msg": "Value error, no id", "input": "x"}])
    assert error_texts.validation_message(error) == "Lead ID: no id."
    invalid = {"type": "uuid_parsing", "loc": ("path", "lead_id"), "msg": "found `x` at 0"}
    error = RequestValidationError([invalid])
    assert error_texts.validation_message(error) == "Lead ID: this is not a valid ID."
