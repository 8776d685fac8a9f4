"""The dashboard's texts in the viewer's language, and its numbers in the viewer's format.

The code contains the English texts, which are also the ids of the translations (ADR 0043). A text with a `%`
is a format string. The JSON API has no viewer, so it returns the English texts.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from gettext import NullTranslations
from pathlib import Path
from typing import Final, TypeVar

from babel import Locale, UnknownLocaleError
from babel.numbers import format_decimal, format_percent
from babel.support import Translations
from markupsafe import Markup

Text = TypeVar("Text", str, Markup)
CATALOGUES: Final = Path(__file__).with_name("dashboard") / "texts"
HEADER_MAX: Final = 200  # characters of Accept-Language that are read
NO_VALUE: Final = "\N{EN DASH}"
_SOURCE_LANGUAGE: Final = "en"
# Anybody may send any Accept-Language, also before signing in, and each locale's data stays in memory: 212 MB
# for all of them. So numbers and dates have the format of one of these, or of a language with a catalogue.
LOCALES: Final = frozenset((
    "en", "en_AU", "en_CA", "en_GB", "en_IE", "en_IN", "en_NZ", "en_US", "en_ZA",
    "cs", "da", "de", "de_AT", "de_CH", "el", "es", "es_MX", "fi", "fr", "fr_CA", "fr_CH", "hu", "it", "ja",
    "nb", "nl", "pl", "pt", "pt_PT", "ro", "sv", "tr",
))  # fmt: skip
_SMALLEST_GROUPED: Final = 1000


@dataclass(frozen=True)
class Viewer:
    """Who reads a page: the locale of numbers and dates, the language of texts, and their translations."""

    locale: Locale
    language: str
    translations: NullTranslations


# For a request that names no language, and for what is written outside of a request.
DEFAULT_VIEWER: Final = Viewer(Locale("en", "GB"), _SOURCE_LANGUAGE, NullTranslations())
_viewer: ContextVar[Viewer] = ContextVar("viewer", default=DEFAULT_VIEWER)


@contextmanager
def viewed_by(viewer: Viewer) -> Iterator[None]:
    """Let this module's functions return texts and numbers for this viewer, until the context ends."""
    token = _viewer.set(viewer)
    try:
        yield
    finally:
        _viewer.reset(token)


def current_viewer() -> Viewer:
    """Return the viewer of the current request."""
    return _viewer.get()


@lru_cache(maxsize=256)
def find_viewer(accept_language: str) -> Viewer:
    """Return the viewer who sends this value of the header Accept-Language (RFC 9110, 12.5.4).

    Texts are in the most preferred language that has a compiled catalogue. If there is none, they are in
    English. Numbers and dates have the format of the most preferred locale that is in `LOCALES` or has a
    compiled catalogue.
    """
    locales = list(_preferred_locales(accept_language))
    if not locales:
        return DEFAULT_VIEWER
    for language in dict.fromkeys(name for locale in locales for name in (str(locale), locale.language)):
        if translations := _load_translations(language):
            return Viewer(locales[0], language.replace("_", "-"), translations)
    return Viewer(locales[0], _SOURCE_LANGUAGE, DEFAULT_VIEWER.translations)


def _preferred_locales(accept_language: str) -> Iterator[Locale]:
    weighted = []
    for item in accept_language.split(","):
        tag, _, weight = item.replace(" ", "").partition(";q=")
        try:
            locale = Locale.parse(tag, sep="-")
            weighted.append((float(weight or 1), locale))
        except (ValueError, UnknownLocaleError):
            continue
    weighted.sort(key=lambda each: -each[0])
    supported = (_supported_locale(locale) for weight, locale in weighted if weight > 0)
    return (locale for locale in supported if locale)


def _supported_locale(locale: Locale) -> Locale | None:
    """Return the locale, or only its language if that is supported. Return None if neither is.

    A locale is supported if it is in `LOCALES` or has a catalogue.
    """
    for name in (str(locale), locale.language):
        if name in LOCALES or (CATALOGUES / name).is_dir():
            return Locale.parse(name)
    return None


@cache
def _load_translations(language: str) -> NullTranslations | None:
    """Return all catalogues of a language as one; None if there is none. `language` is a known locale."""
    if language == _SOURCE_LANGUAGE:
        return NullTranslations()
    merged: Translations | None = None
    for path in sorted((CATALOGUES / language / "LC_MESSAGES").glob("*.mo")):
        with path.open("rb") as file:
            catalogue = Translations(file)
        merged = merged.merge(catalogue) if merged else catalogue
    return merged


def gettext(message: str, /, **values: object) -> str:
    """Return the translation of a text, with the values inserted. Numbers get the viewer's format."""
    return _fill(_viewer.get().translations.gettext(message), values)


def ngettext(singular: str, plural: str, count: int, /, **values: object) -> str:
    """Return the translated singular or plural form of a text. `count` is inserted as `%(count)s`."""
    text = _viewer.get().translations.ngettext(singular, plural, count)
    return _fill(text, {"count": count, **values})


def gettext_noop(message: str) -> str:
    """Return the message unchanged. It marks a constant for the catalogue; the caller translates it later."""
    return message


def gettext_html(message: str, /, **values: object) -> Markup:
    """Return a translated text as HTML. The text may contain HTML elements. The `values` are escaped."""
    return _fill(Markup(_viewer.get().translations.gettext(message)), values)  # noqa: S704 - our own text


def ngettext_html(singular: str, plural: str, count: int, /, **values: object) -> Markup:
    """Return the translated singular or plural form as HTML. `count` is inserted as `%(count)s`."""
    text = Markup(_viewer.get().translations.ngettext(singular, plural, count))  # noqa: S704 - our own text
    return _fill(text, {"count": count, **values})


def _fill(text: Text, values: Mapping[str, object]) -> Text:
    if "%" not in text:
        return text
    shown = {
        name: number(value) if isinstance(value, int | float) else value for name, value in values.items()
    }
    # Markup escapes the values.
    return text % shown


def number(value: float | None) -> str:
    """Return a number in the viewer's format, such as `1,234`; a dash for None."""
    if value is None:
        return NO_VALUE
    # The same in all locales, and most numbers of a list.
    if isinstance(value, int) and 0 <= value < _SMALLEST_GROUPED:
        return str(value)
    return format_decimal(value, locale=_viewer.get().locale)


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as whole percent in the viewer's format; a dash for None."""
    return NO_VALUE if share is None else format_percent(share, locale=_viewer.get().locale)


def plural_forms(singular: str, plural: str) -> dict[str, str]:
    """Return the form of a text for each plural category (CLDR), for a script that replaces `{count}`."""
    rule = Locale.parse(_viewer.get().language, sep="-").plural_form
    samples = {rule(count): count for count in reversed(range(200))}
    return {category: ngettext(singular, plural, count) for category, count in samples.items()}
