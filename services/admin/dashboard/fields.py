"""Types of form fields."""

from typing import Annotated, TypeVar

from pydantic import BeforeValidator

from services.admin.schemas.lead_edits import blank_as_none

T = TypeVar("T")


# Browsers send an empty text for a field that was left empty.
BlankAsNone = Annotated[T | None, BeforeValidator(blank_as_none)]
