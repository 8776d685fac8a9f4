"""Fields of forms: what a browser sends for one that was left empty is nothing."""

from typing import Annotated, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T")


def _none_if_blank(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


Maybe = Annotated[T | None, BeforeValidator(_none_if_blank)]
