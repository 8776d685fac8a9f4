"""Types of form fields."""

from typing import Annotated, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T")


def _none_if_blank(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


# Browsers send an empty text for a field that was left empty.
BlankAsNone = Annotated[T | None, BeforeValidator(_none_if_blank)]
