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

NO_NAME: Final = "Website visitor"
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


def labelled_fields(lead: LeadReceived) -> dict[str, str]:
    """Return the text of each non-empty field of a lead, by label. Equal labels get different suffixes."""
    source = lead.source
    values: dict[str, JsonValue] = {
        "Name": lead.name or NO_NAME,
        "Email": lead.email,
        "Phone": lead.phone,
        "Company": lead.company,
        "Service": lead.service,
        "Locale": lead.locale,
        "Consent": None if lead.consent is None else ("yes" if lead.consent else "no"),
    }
    if source:
        values |= {_label("", name): getattr(source, name) for name in Source.model_fields}
    # Prefixed, so that an unknown field cannot replace one of ours.
    for prefix, unknown in (("Source ", source.extra if source else {}), ("Extra ", lead.extra)):
        for name, value in unknown.items():
            values[unique_name(_label(prefix, name), values)] = value
    shown = {label: _display_value(value) for label, value in values.items() if value not in (None, "")}
    return {label: text for label, text in shown.items() if text}


def _label(prefix: str, name: str) -> str:
    label = truncate(_HIDING.sub("", to_line(name)), LABEL_MAX)
    return f"{prefix}{label or 'field'}" if prefix else label.replace("_", " ").capitalize()


def _display_value(value: JsonValue) -> str:
    return visible_text(answer_text(value))


def quote_lines(text: str) -> str:
    """Return a text with `> ` before each line, as a reply quotes a mail."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def break_lines(text: str) -> Markup:
    """Return a text as HTML with `<br>` between lines, because Outlook ignores the CSS `white-space`."""
    return Markup("<br>").join(escape(line) for line in text.split("\n"))
