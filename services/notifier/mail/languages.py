"""The languages of emails: their texts, and the formats of their dates and numbers.

The templates and this package contain the English texts, which are also the ids of the translations
(ADR 0048). A text that a catalogue lacks stays English.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale
from babel.dates import format_date, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

CATALOGUES: Final = Path(__file__).with_name("texts")
DEFAULT: Final = "en"
# By language: the locale of dates and numbers, and the regions that have a format of their own. A visitor
# chooses the locale, and Babel keeps the data of each one in memory, so there are no others.
_REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("GB", "AU", "CA", "IE", "IN", "NZ", "US", "ZA"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CA", "CH"),
    "es": ("ES", "AR", "CO", "MX"),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
    "pl": ("PL",),
    "pt": ("PT", "BR"),
}
LANGUAGES: Final = tuple(_REGIONS)
_TAG_MAX: Final = 35  # characters; RFC 5646, 4.4.1


@dataclass(frozen=True)
class Language:
    """A language of emails. `code` is its two letters, and `locale` has the formats of a region."""

    code: str
    locale: Locale
    translations: NullTranslations

    def gettext(self, message: str) -> str:
        """Return the translation of a text."""
        return self.translations.gettext(message)

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        """Return the translated singular or plural form of a text."""
        return self.translations.ngettext(singular, plural, count)

    @property
    def colon(self) -> str:
        """Return the end of a label: a colon, in French with a blank before it."""
        return _colon(self.code)

    def number(self, value: int) -> str:
        """Return a number in the format of the locale, such as `1,234`."""
        return format_decimal(value, locale=self.locale)

    def time(self, value: datetime) -> str:
        """Return a time in the format of the locale, to the minute and in UTC."""
        return _format_minute(self._locale_name, value.replace(second=0, microsecond=0))

    @cached_property
    def _locale_name(self) -> str:
        return str(self.locale)


def find_language(*tags: str | None) -> Language:
    """Return the language of the first supported locale in `tags`, such as `de-AT`, or else English."""
    for tag in tags:
        if tag and (found := _find(tag[:_TAG_MAX])):
            return found
    return _load(DEFAULT, _REGIONS[DEFAULT][0])


@lru_cache(maxsize=256)
def _find(tag: str) -> Language | None:
    code, *rest = tag.strip().replace("_", "-").split("-")
    regions = _REGIONS.get(code.lower())
    if regions is None:
        return None
    region = next((each.upper() for each in rest if each.upper() in regions), regions[0])
    return _load(code.lower(), region)


@cache
def _load(code: str, region: str) -> Language:
    return Language(code, Locale(code, region), _load_translations(code))


@cache
def _colon(code: str) -> str:
    gettext = _load_translations(code).gettext
    return gettext("%(label)s:") % {"label": ""}


@cache
def _load_translations(code: str) -> NullTranslations:
    if code == DEFAULT:
        return NullTranslations()
    with (CATALOGUES / code / "LC_MESSAGES" / "mail.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


# A burst of leads has the same minutes. Formatting takes 60 us, a tenth of a mail.
@lru_cache(maxsize=256)
def _format_minute(locale: str, value: datetime) -> str:
    known = Locale.parse(locale)
    joined = known.datetime_formats["medium"].format(
        format_time(value, "short", locale=known), format_date(value, "long", locale=known)
    )
    return f"{joined} UTC"
