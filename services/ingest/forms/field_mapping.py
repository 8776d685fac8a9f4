"""Maps the answers of a form with unknown field names to the body of `POST /inbound/leads`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import JsonValue

from contracts.email import is_plain
from services.ingest.forms.field_names import fold_name, target_of

_NO_NAMES: Final[Mapping[str, Sequence[str]]] = {}
# More than any form has. The work grows with the square of the answers, so the rest is not mapped.
_MAX_ANSWERS: Final = 500
_MORE_ANSWERS: Final = "[more answers]"
# The field of a lead for each type that a form builder gives its fields, as `fold_name` returns the type. It
# is used only if no name matches.
_TARGET_BY_KIND: Final = {
    **dict.fromkeys(("email", "inputemail", "forminputemail", "controlemail", "emailaddress"), "email"),
    **dict.fromkeys(("phone", "tel", "phonenumber", "inputphonenumber", "controlphone"), "phone"),
    **dict.fromkeys(("textarea", "longtext", "controltextarea", "paragraphtext", "formtextarea"), "message"),
    **dict.fromkeys(("legal", "acceptance", "consent", "gdpr", "gdprcheckbox"), "consent"),
    **dict.fromkeys(("name", "fullname", "controlfullname", "contactinfo"), "name"),
}


class Answer(NamedTuple):
    """One answer in a form.

    `key` is the name of the form's field, and `label` the text that the visitor reads beside it. `kind` is
    the form builder's type of the field.
    """

    key: str
    value: JsonValue
    label: str = ""
    kind: str = ""


def map_answers(
    answers: Iterable[Answer], names: Mapping[str, Sequence[str]] = _NO_NAMES
) -> dict[str, JsonValue]:
    """Return the body of a submission with all answers that have a value.

    An answer is assigned to a field of the lead by the first rule that matches:

    - `names`, the setting `fields` of the site
    - the common names of a field
    - the form builder's type
    - the shape of an email address

    If several answers match a field, the first answer is used. All other answers are stored under their
    labels.
    """
    filled = [answer for answer in answers if not _is_empty(answer.value)]
    remaining, rest = filled[:_MAX_ANSWERS], filled[_MAX_ANSWERS:]
    found: dict[str, JsonValue] = {}
    for target, alternatives in names.items():
        _find_configured(target, alternatives, remaining, found)
    for rule in (_by_key, _by_label, _by_kind, _by_shape):
        for answer in list(remaining):
            field = rule(answer)
            if field and field not in found:
                found[field] = answer.value
                remaining.remove(answer)
    _join_name(found)
    body = _nest(found)
    for answer in remaining:
        body[_unused_label(answer, body)] = answer.value
    if rest:
        body[_MORE_ANSWERS] = [[answer.label or answer.key, answer.value] for answer in rest]
    return body


def _by_key(answer: Answer) -> str | None:
    return target_of(answer.key)


def _by_label(answer: Answer) -> str | None:
    return target_of(answer.label)


def _by_kind(answer: Answer) -> str | None:
    return _TARGET_BY_KIND.get(fold_name(answer.kind))


def _by_shape(answer: Answer) -> str | None:
    return "email" if isinstance(answer.value, str) and is_plain(answer.value.strip().lower()) else None


def _is_empty(value: JsonValue) -> bool:
    return value in (None, "", [], {}) or (isinstance(value, str) and not value.strip())


def _find_configured(
    target: str, alternatives: Sequence[str], remaining: list[Answer], found: dict[str, JsonValue]
) -> None:
    """Move the answers for the lead's field `target` from `remaining` to `found`.

    The first of the `alternatives` that the form has is used. An alternative is the name or the label of a
    form field. It may also be several names with blanks between them. Then the answers of these fields are
    joined.
    """
    for alternative in alternatives:
        parts = _named(remaining, [alternative]) or _named(remaining, alternative.split())
        if parts:
            found[target] = parts[0].value if len(parts) == 1 else _join(part.value for part in parts)
            for part in parts:
                remaining.remove(part)
            return


def _named(answers: Iterable[Answer], names: Iterable[str]) -> list[Answer]:
    by_name = {answer.label: answer for answer in answers} | {answer.key: answer for answer in answers}
    return [by_name[name] for name in names if name in by_name]


def _join(values: Iterable[JsonValue]) -> str:
    return " ".join(str(value).strip() for value in values if not _is_empty(value))


def _join_name(found: dict[str, JsonValue]) -> None:
    """Join the first and the last name. A whole name takes precedence over these parts."""
    first, last = found.pop("first_name", None), found.pop("last_name", None)
    name = found.get("name")
    if isinstance(name, dict):
        found["name"] = _join(name.values())
    elif name is None and (first or last):
        found["name"] = _join((first, last))
    elif name is not None and first and not last and _join((first,)) not in str(name):
        found["name"] = _join((first, name))  # as in French: "prénom" and "nom"
    elif name is not None and last and not first and _join((last,)) not in str(name):
        found["name"] = _join((name, last))  # as in Spanish: "nombre" and "apellidos"


def _nest(found: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {}
    groups: dict[str, dict[str, JsonValue]] = {}
    for target, value in found.items():
        group, _, name = target.rpartition(".")
        if group:
            groups.setdefault(group, {})[name] = value
        else:
            body[name] = value
    return {**body, **groups}


def _unused_label(answer: Answer, body: Mapping[str, JsonValue]) -> str:
    """Return the label of an answer, with a number if the body has that name."""
    label = answer.label or answer.key
    name, number = label, 1
    while name in body:
        number += 1
        name = f"{label} ({number})"
    return name
