"""Formats the texts that a visitor typed, for the alert to the admins. No I/O.

A visitor cannot imitate another field of the alert: labels are unique, and each line of a longer text begins
with `> `.
"""

import re
from typing import Final

from markupsafe import Markup, escape
from pydantic import JsonValue

from contracts.answers import answer_text
from contracts.field_types import unique_name
from contracts.leads import LeadReceived
from contracts.text import to_line, to_text, truncate, with_lf
from contracts.visit import Source
from services.notifier.mail.languages import Language

LABEL_MAX: Final = 200
_CLEAN_ASCII: Final = re.compile(r"[ -~\n\t]*")
# Characters that hide text or reverse its order. Joiners, direction marks and the tags of flags stay, because
# words and emoji need them.
_HIDING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0001]"
)


def visible_text(value: str) -> str:
    """Return a text without characters that hide text or reverse its direction.

    Each line ends with one LF.
    """
    if _CLEAN_ASCII.fullmatch(value):  # most input
        return value.strip()
    return _HIDING.sub("", with_lf(to_text(value))).strip()


def no_name(language: Language) -> str:
    """Return what a mail shows in place of a name that the lead does not have."""
    return language.gettext("Website visitor")


def labelled_fields(lead: LeadReceived, language: Language) -> dict[str, str]:
    """Return the text of each non-empty field of a lead, by label in this language.

    Equal labels get different suffixes. The labels of campaigns are the names of their parameters.
    """
    gettext = language.gettext
    source = lead.source
    values: dict[str, JsonValue] = {
        gettext("Name"): lead.name or no_name(language),
        gettext("Email"): lead.email,
        gettext("Phone"): lead.phone,
        gettext("Company"): lead.company,
        gettext("Service"): lead.service,
        gettext("Language"): lead.locale,
        gettext("Consent"): None
        if lead.consent is None
        else (gettext("yes") if lead.consent else gettext("no")),
    }
    if source:
        known = {
            "page_url": gettext("Page"),
            "page_title": gettext("Page title"),
            "landing_page": gettext("Landing page"),
            "referrer": gettext("Referrer"),
        }
        values |= {known.get(name) or _label(name): getattr(source, name) for name in Source.model_fields}
    # Prefixed, so that an unknown field cannot replace one of ours.
    of_source, of_lead = gettext("Source %(name)s"), gettext("Extra %(name)s")
    for form, unknown in ((of_source, source.extra if source else {}), (of_lead, lead.extra)):
        for name, value in unknown.items():
            values[unique_name(_unknown_label(form, name), values)] = value
    shown = {label: _display_value(value) for label, value in values.items() if value not in (None, "")}
    return {label: text for label, text in shown.items() if text}


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _unknown_label(form: str, name: str) -> str:
    label = truncate(_HIDING.sub("", to_line(name)), LABEL_MAX)
    return form % {"name": label or "field"}


def _display_value(value: JsonValue) -> str:
    return visible_text(answer_text(value))


def quote_lines(text: str) -> str:
    """Return a text with `> ` before each line, as a reply quotes a mail."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def break_lines(text: str) -> Markup:
    """Return a text as HTML with `<br>` between lines, because Outlook ignores the CSS `white-space`."""
    return Markup("<br>").join(escape(text).split("\n"))
