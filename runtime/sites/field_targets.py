"""The keys of `fields` in the sites file: the names of a lead's fields."""

import difflib
import re
from typing import Final

from pydantic import BaseModel

from contracts.leads import LeadSubmission
from contracts.visit import Meta, Source

# The first and the last name are joined. A page's title is part of the lead's source.
_PARTS: Final = ("first_name", "last_name", "page_title")
_GROUPS: Final[dict[str, type[BaseModel]]] = {"source": Source, "meta": Meta}
_TARGETS: Final = (
    *(name for name in LeadSubmission.model_fields if name not in _GROUPS),
    *_PARTS,
    *(f"{group}.{name}" for group, model in _GROUPS.items() for name in model.model_fields),
)
# A lead's source keeps other values of a campaign too: the click ids of many networks differ by one letter.
_CLICK_ID: Final = re.compile(r"source\.(?:first_)?[a-z]{0,10}clk?id")
_OTHER_SOURCE: Final = re.compile(r"source\.\w{1,100}", re.ASCII)
# Of the letters. `source.utm_sourse` is a mistake, `source.utm_source_platform` is not.
_MISSPELT: Final = 0.88


def check_target(name: str) -> str:
    """Return the name. Raises `ValueError` if it is no field of a lead."""
    if name in _TARGETS or _CLICK_ID.fullmatch(name):
        return name
    is_source = _OTHER_SOURCE.fullmatch(name) is not None
    similar = difflib.get_close_matches(name, _TARGETS, n=1, cutoff=_MISSPELT if is_source else 0.6)
    if similar:
        raise ValueError(f"is not a field of a lead (did you mean {similar[0]}?)")
    if not is_source:
        raise ValueError("is not a field of a lead; docs/forms.md has them")
    return name
