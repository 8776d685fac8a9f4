"""The pages that a visitor sees after posting an HTML form. They work without scripts."""

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import JsonValue
from starlette.responses import HTMLResponse

from runtime.http.problem_details import FieldProblem, Problem
from runtime.sites.model import Site
from services.ingest.forms.body import FormBody
from services.ingest.forms.field_names import target_of
from services.ingest.forms.form_lead import CONTROLS
from services.ingest.forms.origin import origin_of
from services.ingest.forms.texts import Texts, preferred_locale, texts_for
from services.ingest.problems import UNKNOWN_FORM

_STYLE: Final = Path(__file__).with_name("templates").joinpath("pages.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_KINDS: Final = {"email": "email", "phone": "tel", "message": "textarea"}
# Fields that a form has for programs: the page sends them again without showing them.
_MACHINE_FIELDS: Final = ("source.", "meta.", "locale", "submitted_at", "page_title")
_LINE_MAX: Final = 200
_HTML: Final = re.compile(r"text/html|application/xhtml\+xml", re.IGNORECASE)


@dataclass
class Field:
    """A form field and what the visitor entered, for the page that lets the visitor send the form again."""

    id: str
    name: str
    value: str
    kind: str
    label: str = ""
    error: str = ""


def _described(field: Field) -> Markup:
    if not field.error:
        return Markup()
    return Markup(' aria-invalid="true" aria-describedby="{}-error"').format(field.id)


_TEMPLATES: Final = Environment(
    loader=PackageLoader("services.ingest.forms"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEMPLATES.globals["described"] = _described


def thanks_page(site: Site) -> HTMLResponse:
    """Return the page that thanks the visitor."""
    _, texts = texts_for(site.locale)
    return _page("message.html", site, 200, texts.thanks_title, paragraphs=[texts.thanks])


def accepts_html(accept: str | None) -> bool:
    """Return True for the `Accept` of a browser that shows the response, and False for that of a script."""
    return _HTML.search(accept or "") is not None


def unknown_form_page(accept_language: str | None) -> HTMLResponse:
    """Return the page for an unknown form key, in the visitor's language because its site is unknown."""
    site = Site(locale=preferred_locale(accept_language))
    _, texts = texts_for(site.locale)
    return message_page(site, UNKNOWN_FORM.status, texts.unknown_form)


def message_page(site: Site, status: int, text: str) -> HTMLResponse:
    """Return a page that says why a message was not sent."""
    _, texts = texts_for(site.locale)
    return _page("message.html", site, status, texts.error_title, paragraphs=[text])


def form_page(site: Site, status: int, form: FormBody, wrong: Collection[str]) -> HTMLResponse:
    """Return a page with the form and everything that was entered, so that the visitor can send it again.

    `wrong` are the names of the lead's fields that the visitor must correct. If `wrong` is empty, the gateway
    is at fault.
    """
    _, texts = texts_for(site.locale)
    fields, invisible = _split_fields(form, site, texts)
    for target in wrong:
        _mark(target, fields, site, texts)
    return _page(
        "form.html",
        site,
        status,
        texts.check_title if wrong else texts.later_title,
        intro=texts.check if wrong else texts.later,
        errors=[field for field in fields if field.error],
        fields=fields,
        hidden=invisible,
        note="",
    )


def origin_page(site: Site, status: int, form: FormBody, origin: str) -> HTMLResponse:
    """Return the page that answers a form from a foreign origin, which the site does not list.

    The page contains the form with everything that was entered. The visitor can send it by a click, which a
    foreign page cannot imitate. A note for the website's owner names `origin`, the foreign origin. `origin`
    is empty if the browser did not send one.
    """
    _, texts = texts_for(site.locale)
    fields, invisible = _split_fields(form, site, texts)
    return _page(
        "form.html",
        site,
        status,
        texts.error_title,
        intro=texts.wrong_origin,
        errors=[],
        fields=fields,
        hidden=invisible,
        note=texts.owner_origin.format(origin=origin) if origin else texts.owner_hidden_origin,
    )


def translate_errors(problem: Problem, site: Site, form: FormBody) -> Problem:
    """Return the problem with its errors in the site's language, for a script that shows them."""
    _, texts = texts_for(site.locale)
    fields, _ = _split_fields(form, site, texts)
    errors = tuple(
        FieldProblem(field=each.field, message=_mark(each.field.partition(".")[0], fields, site, texts))
        for each in problem.errors or ()
    )
    return problem.model_copy(update={"detail": texts.check_title, "errors": errors})


def _page(template: str, site: Site, status: int, title: str, **values: object) -> HTMLResponse:
    language, texts = texts_for(site.locale)
    content = _TEMPLATES.get_template(template).render(
        language=language,
        texts=texts,
        title=title,
        site_name=site.name or "",
        back_url=next(iter(site.origins), ""),
        style=Markup(_STYLE),  # noqa: S704 - our own file
        **values,
    )
    # A form may hold a lone surrogate, which UTF-8 cannot.
    return HTMLResponse(content.encode("utf-8", "replace"), status, _headers(site))


def _headers(site: Site) -> dict[str, str]:
    # Browsers apply form-action to redirects, too, so the pages that a visitor is sent to are in it.
    targets = {*site.origins, *filter(None, [origin_of(site.thanks_url or "")])}
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none';"
        f" form-action 'self' {' '.join(sorted(targets))}"
    )
    # With no-referrer, the browser would send the form again with `Origin: null`.
    return {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}


def _split_fields(form: FormBody, site: Site, texts: Texts) -> tuple[list[Field], list[Field]]:
    """Return the fields to show, and those to send again without showing them."""
    shown, hidden, labels = list[Field](), list[Field](), _labels(texts)
    for number, (name, value) in enumerate(form.fields.items()):
        target, text = _target(name, site), _text(value)
        if name in CONTROLS or target.startswith(_MACHINE_FIELDS):
            hidden.append(Field("", name, text, "hidden"))
        else:
            is_long = "\n" in text or len(text) > _LINE_MAX
            kind = "textarea" if is_long else _KINDS.get(target, "text")
            # The label of the website's form is not sent. Two fields must not get the same label.
            label = labels.pop(target, "") or name.replace("_", " ").replace("-", " ").strip() or name
            shown.append(Field(f"field-{number}", name, text, kind, label))
    return shown, hidden


def _labels(texts: Texts) -> dict[str, str]:
    return {field: getattr(texts, field) for field in ("name", "email", "phone", "company", "message")}


def _mark(target: str, fields: list[Field], site: Site, texts: Texts) -> str:
    """Set the error of the form field that stands for the lead's field `target`, and return the error.

    If the form has no such field, it is added to `fields`.
    """
    field = next((each for each in fields if _target(each.name, site) == target), None)
    if field is None:
        label = _labels(texts).get(target, target)
        field = Field(f"field-{target}", target, "", _KINDS.get(target, "text"), label)
        fields.append(field)
    if target == "email":
        field.error = texts.email_wrong if field.value else texts.email_missing
    else:
        field.error = texts.too_long if field.value else texts.message_missing
    return field.error


def _target(name: str, site: Site) -> str:
    """Return the lead's field that a form's field stands for, or an empty text if there is none."""
    for target, alternatives in site.fields.items():
        if _names(name, alternatives):
            return target
    return target_of(name) or ""


def _names(name: str, alternatives: Sequence[str]) -> bool:
    return any(name == each or name in each.split() for each in alternatives)


def _text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_texts(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(values: Iterable[JsonValue]) -> list[str]:
    return [_text(each) for each in values]
