"""A language whose texts are in ⟦ ⟧, and the texts of a page that are outside of these brackets."""

import re
from gettext import NullTranslations
from html.parser import HTMLParser
from typing import Final

from babel import Locale
from babel.dates import get_day_names, get_month_names

from services.admin.texts import Viewer

OPEN, CLOSE = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}", "\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"
# Elements whose content is data, or is not shown.
DATA: Final = {"bdi", "code", "kbd", "time", "textarea", "script", "style", "datalist"}
# The classes of elements whose content a person wrote, or is documentation in English.
DATA_CLASSES: Final = {"message", "lines", "runbook"}
ATTRIBUTES: Final = {"alt", "aria-label", "data-label", "placeholder", "title"}
VOID: Final = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
}  # fmt: skip
LOCALE: Final = Locale("de")
# The names of days, months and hours are CLDR's. Those of the product and its parts are the same everywhere.
_CALENDAR: Final = {
    name
    for width in ("abbreviated", "wide")
    for context in ("format", "stand-alone")
    for names in (get_day_names(width, context, LOCALE), get_month_names(width, context, LOCALE))
    for name in names.values()
} | {"Uhr"}
_LONGEST_FIRST: Final = sorted(map(re.escape, _CALENDAR), key=len, reverse=True)
NAMES: Final = re.compile(rf"\b(?:FASTCore|Kafka|UTC|{'|'.join(_LONGEST_FIRST)})(?!\w)")


class Bracketed(NullTranslations):
    """Translates each text into itself in brackets."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{CLOSE}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


BRACKETED: Final = Viewer(LOCALE, "en", Bracketed())


class _Texts(HTMLParser):
    """Collects the texts outside of brackets and outside of elements that hold data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[bool] = []  # for each open element: is its content data?
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        for name in ATTRIBUTES & values.keys():
            if text := outside_of_brackets(values[name]):
                self.found.append(f"{tag} {name}: {text}")
        if tag not in VOID:
            classes = set(values.get("class", "").split())
            is_data = tag in DATA or bool(classes & DATA_CLASSES) or values.get("translate") == "no"
            self._open.append(is_data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        outside = ""
        for part in re.split(f"([{OPEN}{CLOSE}])", data):
            self._depth += (part == OPEN) - (part == CLOSE)
            if self._depth == 0 and part != CLOSE:
                outside += part
        if not any(self._open) and (text := _letters(outside)):
            self.found.append(text)


def texts_outside_of_brackets(html: str) -> list[str]:
    """Return what a page shows, or says to a screen reader, that is neither translated nor data."""
    parser = _Texts()
    parser.feed(re.sub(r"<!doctype[^>]*>", "", html, flags=re.IGNORECASE))
    parser.close()
    return parser.found


def outside_of_brackets(text: str) -> str:
    """Return a text if it has letters outside of brackets; else an empty text."""
    depth, outside = 0, ""
    for char in text:
        depth += (char == OPEN) - (char == CLOSE)
        outside += char if depth == 0 else ""
    return _letters(outside)


def _letters(text: str) -> str:
    return text.strip() if re.search(r"[^\W\d_]", NAMES.sub("", text)) else ""
