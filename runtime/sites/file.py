"""Reads and checks the sites file. A mistake raises `SitesFileError`."""

import difflib
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NoReturn

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtime.sites.destinations import DESTINATION_NAME, Destination, conflicts
from runtime.sites.model import SITE_NAME, Site, Sites, shared_values

MAX_BYTES: Final = 1024 * 1024
_TABLES: Final = ("defaults", "sites", "destinations")
# By pydantic's type of the error, with its values in braces.
_MESSAGES: Final = {
    "string_type": "must be text in quotes",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "dict_type": "must be a table",
    "model_type": "must be a table, such as {{ key = value }}",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "dataclass_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_too_long": "is too long",
    "too_long": "has too many values",
    "too_short": "must not be empty",
}


class SitesFileError(Exception):
    """The sites file has mistakes.

    Each text in `problems` names the key and the reason, but not the value, which may be secret. The error's
    message joins all of them in one line.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_sites(path: Path) -> Sites:
    """Read and check the file. Raises `SitesFileError`."""
    return parse_sites(read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of the file. Raises `SitesFileError` if it is unreadable or larger than 1 MiB."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SitesFileError(f"cannot be read ({error.strerror})") from error
    if len(content) > MAX_BYTES:
        raise SitesFileError(f"is larger than {MAX_BYTES // 1024} KiB")
    return content


def parse_sites(content: bytes) -> Sites:
    """Check the content of the file and return its sites. Raises a `SitesFileError` with all mistakes."""
    document = _parse_toml(content)
    problems = [f"{key}: {_unknown_key(key, _TABLES)}" for key in document if key not in _TABLES]
    defaults, tables = document.get("defaults", {}), document.get("sites", {})
    if not isinstance(defaults, dict) or not isinstance(tables, dict):
        raise SitesFileError("defaults and sites: must be tables")
    if not tables:
        problems.append("sites: names no site; give at least one table [sites.NAME]")
    wrong_defaults = _problems_of("defaults", defaults)
    sites: dict[str, Site] = {}
    for name, table in tables.items():
        if not SITE_NAME.fullmatch(name):
            problems.append(
                "sites: a site's name must have 1 to 100 letters, digits, dots, dashes or underscores"
            )
        elif not isinstance(table, dict):
            problems.append(f"sites.{name}: must be a table")
        elif own := _problems_of(f"sites.{name}", table):
            problems += own
        elif not wrong_defaults:
            limits = {**defaults.get("limits", {}), **table.get("limits", {})}
            sites[name] = Site.model_validate({**defaults, **table, "limits": limits})
    problems += wrong_defaults
    destinations = _parse_destinations(document.get("destinations", []), problems)
    if problems := problems or shared_values(sites) or conflicts(destinations, sites):
        raise SitesFileError(*dict.fromkeys(problems))
    return Sites(sites, sha256(content).hexdigest(), destinations)


def _parse_destinations(tables: Any, problems: list[str]) -> dict[str, Destination]:
    """Return the valid destinations by name, and append the mistakes of the others to `problems`."""
    destinations: dict[str, Destination] = {}
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("destinations: must be tables, each under [[destinations]]")
        return destinations
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        where = f"destinations.{name}" if _is_destination_name(name) else f"destinations (table {number})"
        if own := _problems_of(where, table, Destination):
            problems += own
        elif name in destinations:
            problems.append(f"{where}: two destinations have this name")
        else:
            destinations[name] = Destination.model_validate(table)
    return destinations


def _is_destination_name(name: object) -> bool:
    return isinstance(name, str) and DESTINATION_NAME.fullmatch(name) is not None


def _parse_toml(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise SitesFileError("is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SitesFileError(f"is not TOML: {error}") from None
    except ValueError:  # Python converts no integer of more than 4,300 digits
        raise SitesFileError("has a number with too many digits") from None
    except RecursionError:
        raise SitesFileError("is nested too deeply") from None


def _problems_of(where: str, table: Mapping[str, Any], model: type[BaseModel] = Site) -> list[str]:
    known = [field.alias or name for name, field in model.model_fields.items()]
    try:
        model.model_validate(table)
    except ValidationError as error:
        return [_problem(where, item, known) for item in error.errors(include_input=False, include_url=False)]
    return []


def _problem(where: str, item: ErrorDetails, known: Iterable[str]) -> str:
    """Return the text for one mistake: the path of the key as the file spells it, and what is wrong.

    If the mistake is in an element of a list, the text names the number of the element or table.
    """
    keys, message = list(item["loc"]), _message(item, known)
    if keys and keys[-1] == "[key]":  # pydantic's way to say that a key is invalid, not its value
        message = f"the key {keys[-2]} {message}"
        keys = keys[:-2]
    elif keys and isinstance(number := keys[-1], int):
        message = f"value {number + 1} {message}"
        keys.pop()
    place = "".join(f" (table {key + 1})" if isinstance(key, int) else f".{key}" for key in keys)
    return f"{where}{place}: {message}"


def _message(item: ErrorDetails, known: Iterable[str]) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown_key(str(item["loc"][-1]), known)
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return _MESSAGES.get(item["type"], "is not valid").format_map(item.get("ctx", {}))


def _unknown_key(key: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(key, list(known), n=1)
    if similar:
        return f"is not a known key (did you mean {similar[0]}?)"
    return "is not a known key; docs/sites.md and docs/destinations.md have them"


def exit_with(path: Path | None, error: SitesFileError) -> NoReturn:
    """Exit with one line that names the file, the key and the reason."""
    sys.exit(f"wrong sites file: {path}: {error} (docs/sites.md)")


def load_sites(path: Path | None) -> Sites:
    """Read the file at a service's start. Exit if it has a mistake. Return no sites if `path` is None."""
    if path is None:
        return Sites()
    try:
        return read_sites(path)
    except SitesFileError as error:
        exit_with(path, error)


def environment() -> dict[str, str]:
    """Return the values that `env:` may refer to, by variable. The environment overrides `.env`."""
    both = {**dotenv_values(".env"), **os.environ}
    return {name: value for name, value in both.items() if value}
