"""Every error page has a title and a next step; a form's errors name the field and not its value."""

from datetime import date, datetime
from typing import Annotated, Literal

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from services.admin.dashboard import error_texts
from services.admin.texts import viewed_by
from tests.support.web.texts import BRACKETED, OPEN, outside_of_brackets


def test_every_error_title_has_a_next_step() -> None:
    assert set(error_texts.ERROR_TITLES) == set(error_texts.ERROR_NEXT_STEPS)


def test_every_status_has_a_title_and_a_message_of_the_catalogue() -> None:
    assert (error_texts.error_title(404), error_texts.http_message(404)) == (
        "Not found",
        "This page does not exist.",
    )
    with viewed_by(BRACKETED):
        for text in (error_texts.error_title(405), error_texts.http_message(418)):
            assert outside_of_brackets(text) == ""


def test_validation_message_names_the_field_and_not_its_value() -> None:
    error = RequestValidationError([{"loc": ("body", "lead_id"), "msg": "Value error, no id", "input": "x"}])
    assert error_texts.validation_message(error) == "Lead ID: no id."
    invalid = {"type": "uuid_parsing", "loc": ("path", "lead_id"), "msg": "found `x` at 0"}
    error = RequestValidationError([invalid])
    assert error_texts.validation_message(error) == "Lead ID: this is not a valid ID."


def test_no_error_of_a_field_has_a_text_of_the_library() -> None:
    class Form(BaseModel):
        words: Annotated[str, Field(min_length=2, max_length=3)]
        count: Annotated[int, Field(ge=1, le=9)]
        items: Annotated[list[int], Field(max_length=1)]
        day: date
        time: datetime
        seen: bool
        state: Literal["won"]
        share: Annotated[float, Field(multiple_of=2)]

    shown = []
    for words, number in (("too long", 10), ("", 0), ("ok", 1.5)):
        with pytest.raises(ValidationError) as raised:
            Form.model_validate(
                {
                    "words": words, "count": number, "items": [1, 2], "day": "x", "time": "x", "seen": "x",
                    "state": "lost", "share": 1.0,
                }
            )  # fmt: skip
        errors = RequestValidationError(raised.value.errors())
        shown.append(error_texts.validation_message(errors))
        with viewed_by(BRACKETED):
            message = error_texts.validation_message(errors)
        for problem in message.split(": ")[1:]:
            assert problem.startswith(OPEN), message
    assert "Words: this may have at most 3 characters. Count: this may be at most 9." in shown[0]
    assert "Words: this must have at least 2 characters. Count: this must be at least 1." in shown[1]
    assert "Share: this is not valid." in shown[2]
