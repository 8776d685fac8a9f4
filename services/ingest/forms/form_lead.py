"""Builds the submission of an HTML form from its fields. No I/O."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import JsonValue

from runtime.sites.model import Site
from services.ingest.forms.body import FormBody
from services.ingest.forms.field_mapping import Answer, map_answers
from services.ingest.forms.field_names import target_of

CAPTCHA_FIELDS: Final = {
    "altcha": "altcha",
    "turnstile": "cf-turnstile-response",
    "hcaptcha": "h-captcha-response",
    "recaptcha": "g-recaptcha-response",
    "friendly": "frc-captcha-solution",  # the gateway does not check this kind
}
"""The field of the form in which each kind of captcha puts its answer."""
NEXT: Final = "_next"
KEY: Final = "_key"
HONEYPOT: Final = "_gotcha"
CONTROLS: Final = frozenset({NEXT, KEY, HONEYPOT, *CAPTCHA_FIELDS.values()})
"""The fields that are not the visitor's answers."""
_SOURCE: Final = "source."
_QUERY_MAX_FIELDS: Final = 200
# A file's name is kept, so that the team can ask for the file.
_FILE_NOT_KEPT: Final = "{name} (a file, which was not kept)"


class Visit(NamedTuple):
    """What the request says about the visitor. `ip` is None if the visitor's address is not known."""

    referer: str | None
    ip: str | None
    user_agent: str | None


def build_submission(form: FormBody, site: Site, visit: Visit) -> dict[str, JsonValue]:
    """Return the body of a submission with all answers, as input for `contracts.forgiving`.

    The campaign comes from the form's hidden fields, or else from the query of the page's URL. The visitor's
    address and browser come from the request, because the sender of a form can write anything into its
    fields.
    """
    fields = dict(form.fields)
    given = {name: fields.pop(name) for name in ("source", "meta") if isinstance(fields.get(name), dict)}
    answers = [Answer(name, value) for name, value in fields.items() if name not in CONTROLS]
    answers += [
        Answer(_unused(field, fields), _FILE_NOT_KEPT.format(name=name)) for field, name in form.files
    ]
    body = map_answers(answers, site.fields)
    source = _object(given.get("source")) | _object(body.get("source"))
    if title := body.pop("page_title", None):
        source.setdefault("page_title", title)
    if visit.referer:
        source.setdefault("page_url", visit.referer)
    body["source"] = campaign_in(source.get("page_url")) | source
    meta = _object(given.get("meta")) | _object(body.get("meta"))
    meta |= {"ip": visit.ip, "user_agent": visit.user_agent}
    if HONEYPOT in fields:
        meta["honeypot"] = fields[HONEYPOT]
    body["meta"] = meta
    return body


def text_of(form: FormBody, name: str) -> str:
    """Return the value of a field that controls the gateway, such as `_next`, or an empty text.

    If the field occurs several times, return the last text.
    """
    value = form.fields.get(name)
    value = value[-1] if isinstance(value, list) and value else value
    return value.strip() if isinstance(value, str) else ""


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return dict(value) if isinstance(value, dict) else {}


def _unused(field: str, fields: Mapping[str, JsonValue]) -> str:
    """Return a name under which a file's name is stored among the answers.

    The result differs from the names of answers and of a lead's fields. Otherwise the file's name could be
    taken for a message or an address.
    """
    name = field or "file"
    return f"{name} (file)" if name in fields or target_of(name) else name


def campaign_in(page_url: JsonValue) -> dict[str, JsonValue]:
    """Return the campaign fields in the query of a page's URL, such as `utm_source`."""
    campaign: dict[str, JsonValue] = {}
    if not isinstance(page_url, str):
        return campaign
    try:
        pairs = parse_qsl(urlsplit(page_url).query, max_num_fields=_QUERY_MAX_FIELDS)
    except ValueError:
        return campaign
    for name, value in pairs:
        target = target_of(name) or ""
        if target.startswith(_SOURCE):
            campaign.setdefault(target.removeprefix(_SOURCE), value)
    return campaign
