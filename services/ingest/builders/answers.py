"""Reads the answers from the payload of a form builder."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from contracts.loose_values import parse_int
from services.ingest.builders.payload import Payload, items_at, objects_at, text_at, value_at
from services.ingest.forms.field_mapping import Answer
from services.ingest.forms.field_names import target_of
from services.ingest.forms.form_lead import CAPTCHA_FIELDS

# Fields that a program fills in for its own purposes: nonces, ids, and the builder's advertisement.
_MACHINE_FIELD: Final = re.compile(
    r"_wpcf7.*|_wpnonce|_wp_http_referer|_fluentform.*|__.*|_date|_id|_subject|_next|_format|_language"
    r"|form_?id|form_?name|form_?title|entry_?id|submission_?id|powered by|hs_object_id|formspreeid"
    rf"|{'|'.join(map(re.escape, CAPTCHA_FIELDS.values()))}",
    re.IGNORECASE,
)
# No key of Tally is longer, and the work grows with the square of its length.
_KEY_MAX: Final = 100
_GRAVITY_INPUT: Final = re.compile(r"(\d+)(?:\.(\d+))?")
_JOTFORM_QUESTION: Final = re.compile(r"q\d+_(.+)")


def flat(path: str) -> Callable[[Payload], Iterator[Answer]]:
    """Return a function that reads the answers from the object at `path`.

    The object maps names to answers.
    """

    def read(payload: Payload) -> Iterator[Answer]:
        fields = value_at(payload, path) if path else payload
        if isinstance(fields, Mapping):
            for name, value in fields.items():
                if not _MACHINE_FIELD.fullmatch(name):
                    yield Answer(name, value[0] if isinstance(value, list) and len(value) == 1 else value)

    return read


def listed(path: str) -> Callable[[Payload], Iterator[Answer]]:
    """Return a function that reads the answers from a list or an object of fields at `path`.

    Each field has a label, a type and a value.
    """

    def read(payload: Payload) -> Iterator[Answer]:
        for key, field in items_at(payload, path):
            if not isinstance(field, Mapping):
                yield Answer(key, field)
                continue
            values = (field.get(name) for name in ("value", "raw_value", "answer"))
            value = next((value for value in values if value not in (None, "", [])), None)
            label = text_at(field, "label", "title", "name")
            yield Answer(text_at(field, "key", "id", "ref") or key, value, label, text_at(field, "type"))
        yield from _source_answers(payload)
        yield from _named_answers(payload)

    return read


def _source_answers(payload: Payload) -> Iterator[Answer]:
    """Yield the fields about the visit that Elementor puts in `meta`."""
    for key, field in objects_at(payload, "meta"):
        yield Answer(key, field.get("value"))


def _named_answers(payload: Payload) -> Iterator[Answer]:
    """Yield those properties of the payload whose names are known names of a field of a lead.

    Some plugins put answers among the many other properties of a payload.
    """
    for name, value in payload.items():
        if isinstance(value, str | int | float) and target_of(name):
            yield Answer(name, value)


def typeform(payload: Payload) -> Iterator[Answer]:
    """Yield the answers and the hidden fields of a Typeform payload.

    The text of a question comes from the form's definition, because an answer does not contain it.
    """
    titles = {
        text_at(field, "id"): text_at(field, "title")
        for _, field in objects_at(payload, "form_response/definition/fields")
    }
    for _, answer in objects_at(payload, "form_response/answers"):
        kind = text_at(answer, "type")
        value = answer.get(kind)
        if isinstance(value, Mapping):
            value = _chosen(value)
        key = text_at(answer, "field/ref", "field/id")
        yield Answer(key, value, titles.get(text_at(answer, "field/id"), ""), text_at(answer, "field/type"))
    yield from flat("form_response/hidden")(payload)


def _chosen(choice: Payload) -> JsonValue:
    """Return the labels and the visitor's own text of a Typeform choice.

    Returns the whole choice if it has neither.
    """
    labels = choice.get("labels")
    texts = [*(labels if isinstance(labels, list) else [labels]), choice.get("label"), choice.get("other")]
    chosen: list[JsonValue] = [text for text in texts if text not in (None, "")]
    return chosen[0] if len(chosen) == 1 else chosen or dict(choice)


def tally(payload: Payload) -> Iterator[Answer]:
    """Yield the answers of a Tally payload, with the texts of the chosen options instead of their ids.

    Tally adds one field for each option of a checkbox question. These fields repeat the answer and are left
    out.
    """
    keys: set[str] = set()
    for _, field in objects_at(payload, "data/fields"):
        key, label, value = text_at(field, "key"), text_at(field, "label"), field.get("value")
        parts = key[:_KEY_MAX].split("_")
        if any("_".join(parts[:end]) in keys for end in range(1, len(parts))):
            continue
        keys.add(key)
        texts = {text_at(option, "id"): text_at(option, "text") for _, option in objects_at(field, "options")}
        if isinstance(value, list) and texts:
            value = [texts.get(str(item), str(item)) for item in value]
        # Tally generates the key, so it says nothing about the question.
        yield Answer(label or key, value, label, text_at(field, "type"))


def jotform(payload: Payload) -> Iterator[Answer]:
    """Yield the answers of a JotForm payload.

    The answers are JSON in the field `rawRequest`, under names such as `q3_name` and `q4_email`.
    """
    try:
        fields: JsonValue = json.loads(text_at(payload, "rawRequest"), strict=False, parse_int=parse_int)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, Mapping):
        return
    for name, value in fields.items():
        if question := _JOTFORM_QUESTION.fullmatch(name):
            yield Answer(question[1], _joined(value) if isinstance(value, Mapping) else value)


def hubspot(payload: Payload) -> Iterator[Answer]:
    """Yield the properties of a HubSpot contact. A property is either a value or an object with a `value`."""
    properties = value_at(payload, "properties")
    if isinstance(properties, Mapping):
        for name, value in properties.items():
            if not _MACHINE_FIELD.fullmatch(name):
                yield Answer(name, value.get("value") if isinstance(value, Mapping) else value)
    yield from _named_answers(payload)


def gravity_forms(payload: Payload) -> Iterator[Answer]:
    """Yield the inputs of a Gravity Forms entry.

    An input is named by number: `2`, or `1.3` for part 3 of field 1. Gravity Forms documents the parts:

    - a name: the first name is part 3, and the last name is part 6
    - a consent: the state is part 1, and the text is part 2

    An address has a part 1 too. So a field is a consent only if its part 1 is "1".
    """
    labels = value_at(payload, "labels")
    labels = labels if isinstance(labels, Mapping) else {}
    fields: dict[str, dict[str, JsonValue]] = {}
    for name, value in payload.items():
        if match := _GRAVITY_INPUT.fullmatch(name):
            fields.setdefault(match[1], {})[match[2] or ""] = value
    texts = [str(parts[""]) for parts in fields.values() if " " in str(parts.get("", ""))]
    longest = max(texts, key=len, default="")
    for number, parts in fields.items():
        label = text_at(labels, number)
        if "" in parts:
            is_message = not labels and parts[""] == longest
            yield Answer(number, parts[""], label, "textarea" if is_message else "")
        elif "1" not in parts and {"3", "6"} & parts.keys():
            yield Answer(number, _joined(parts), label, "name")
        elif parts.get("1") == "1" and "2" in parts:
            yield Answer(number, True, label, "consent")
            yield Answer("consent_text", parts["2"])
        else:
            yield Answer(number, _joined(parts), label)
    yield from _named_answers(payload)


def _joined(parts: Mapping[str, JsonValue]) -> str:
    return " ".join(str(value).strip() for value in parts.values() if value not in (None, "", []))
