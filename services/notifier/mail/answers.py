"""Formats the texts that a visitor typed, for the alert to the admins. No I/O.

A visitor cannot imitate another field of the alert: labels are unique, and each line of a longer text begins
with `> `.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
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
LINE_MAX: Final = 120
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


@dataclass(frozen=True)
class FieldGroups:
    """The texts of a lead's non-empty fields by label. No label occurs twice.

    `contact` says who asks and for what, `details` are the visitor's other answers, and `origin` says from
    where the visitor came.
    """

    contact: dict[str, str]
    details: dict[str, str]
    origin: dict[str, str]

    @property
    def all(self) -> dict[str, str]:
        """Return all fields in the order of the alert."""
        return self.contact | self.details | self.origin


def labelled_fields(lead: LeadReceived, language: Language) -> FieldGroups:
    """Return the fields of a lead with labels in this language. Equal labels get different suffixes."""
    gettext, source = language.gettext, lead.source
    contact: dict[str, JsonValue] = {
        gettext("Name"): lead.name or no_name(language),
        gettext("Email"): lead.email,
        gettext("Phone"): lead.phone,
        gettext("Company"): lead.company,
        gettext("Service"): lead.service,
        gettext("Consent"): _consent(lead.consent, language),
    }
    details: dict[str, JsonValue] = {
        gettext("Text of the consent"): " ".join(
            each
            for each in (lead.consent_text, f"({lead.consent_version})" if lead.consent_version else "")
            if each
        ),
        gettext("Language"): lead.locale,
    }
    origin: dict[str, JsonValue] = {}
    if source:
        origin = {label: getattr(source, name) for name, label in _origin_labels(language).items()}
    used = dict.fromkeys([*contact, *details, *origin])
    # Prefixed, so that an unknown field cannot replace one of ours.
    for group, form, unknown in (
        (origin, gettext("Source %(name)s"), source.extra if source else {}),
        (details, gettext("Extra %(name)s"), lead.extra),
    ):
        for name, value in unknown.items():
            label = unique_name(_unknown_label(form, name), used)
            used[label] = None
            group[label] = value
    return FieldGroups(*(_shown(group) for group in (contact, details, origin)))


def _consent(consent: bool | None, language: Language) -> str:
    if consent is None:
        return language.gettext("not stated")
    return (
        language.gettext("The visitor agreed") if consent else language.gettext("The visitor did not agree")
    )


@cache
def _origin_labels(language: Language) -> dict[str, str]:
    """Return the label of each field of a source, in the order of the alert."""
    gettext = language.gettext
    campaign = {
        "campaign": gettext("Campaign"),
        "source": gettext("Campaign source"),
        "medium": gettext("Campaign medium"),
        "term": gettext("Search term"),
        "content": gettext("Ad"),
        "id": gettext("Campaign ID"),
    }
    referrer, first, click = (
        gettext("Referrer"),
        gettext("%(label)s (first visit)"),
        gettext("Click ID %(name)s"),
    )
    known = {
        **{f"utm_{name}": label for name, label in campaign.items()},
        "landing_page": gettext("Landing page"),
        "page_url": gettext("Page"),
        "page_title": gettext("Page title"),
        "referrer": referrer,
        **{f"first_utm_{name}": first % {"label": label} for name, label in campaign.items()},
        "first_referrer": first % {"label": referrer},
    }
    return known | {name: click % {"name": name} for name in Source.model_fields if name not in known}


def _shown(values: Mapping[str, JsonValue]) -> dict[str, str]:
    texts = {label: _display_value(value) for label, value in values.items() if value not in (None, "")}
    return {label: text for label, text in texts.items() if text}


def _unknown_label(form: str, name: str) -> str:
    label = truncate(_HIDING.sub("", to_line(name)), LABEL_MAX)
    return form % {"name": label or "field"}


def _display_value(value: JsonValue) -> str:
    return visible_text(answer_text(value))


def one_line(value: str) -> str:
    """Return what a visitor typed as one short line."""
    return truncate(to_line(visible_text(value)), LINE_MAX)


def quote_lines(text: str) -> str:
    """Return a text with `> ` before each line, as a reply quotes a mail."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def break_lines(text: str) -> Markup:
    """Return a text as HTML with `<br>` between lines, because Outlook ignores the CSS `white-space`."""
    escaped = escape(text)
    return Markup("<br>").join(escaped.split("\n")) if "\n" in text else escaped
