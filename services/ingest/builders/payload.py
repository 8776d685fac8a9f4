"""Reads values from the JSON or the form data that a form builder posts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from pydantic import JsonValue

Payload: TypeAlias = Mapping[str, JsonValue]

# A name with more brackets is not a field of any form builder, and would be nested too deeply to be stored.
_MAX_DEPTH: Final = 8
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")


def value_at(payload: JsonValue | Payload, path: str) -> JsonValue:
    """Return the value at a path, or None. A path consists of keys, separated by slashes."""
    value: object = payload
    for key in path.split("/"):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value  # type: ignore[return-value]  # a value of a JSON object is JSON


def text_at(payload: JsonValue | Payload, *paths: str) -> str:
    """Return the first text or number that is found at one of the paths, as text.

    Returns an empty text if there is none.
    """
    for path in paths:
        value = value_at(payload, path)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def items_at(payload: JsonValue | Payload, path: str) -> Iterator[tuple[str, JsonValue]]:
    """Yield the items of the list or object at a path, each with its key. In a list, the keys are empty."""
    value = value_at(payload, path)
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from (("", item) for item in value)


def objects_at(payload: JsonValue | Payload, path: str) -> Iterator[tuple[str, Payload]]:
    """Yield the objects in the list or object at a path, each with its key.

    In a list, the keys are empty. Other values in the list or object are left out.
    """
    for key, item in items_at(payload, path):
        if isinstance(item, Mapping):
            yield key, item


def nest_brackets(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return form data as nested objects, as PHP does for names such as `fields[email][value]`."""
    payload: dict[str, JsonValue] = {}
    for name, value in pairs:
        head = name.partition("[")[0]
        path = [head, *_BRACKETS.findall(name[len(head) :])] if head else [name]
        is_list = len(path) > 1 and path[-1] == ""
        path = [key for key in path if key]
        if not 1 <= len(path) <= _MAX_DEPTH:
            path = [name]
        target = payload
        for key in path[:-1]:
            nested = target.setdefault(key, {})
            if not isinstance(nested, dict):
                nested = target[key] = {"": nested}
            target = nested
        present = target.get(path[-1])
        if isinstance(present, list):
            present.append(value)
        elif isinstance(present, dict):
            present[""] = value
        elif present is None:
            target[path[-1]] = [value] if is_list else value
        else:
            target[path[-1]] = [present, value]
    return payload
