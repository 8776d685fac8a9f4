"""The templates of emails: those of this package, of which a site can replace single files."""

import re
from collections.abc import Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.nodes import (
    Call,
    Const,
    Dict,
    Expr,
    MarkSafeIfAutoescape,
    Mod,
    Name,
    Node,
    Output,
    Template,
    TemplateData,
)
from jinja2.visitor import NodeTransformer

from contracts.text import to_line, truncate
from runtime.logs import logger
from runtime.template_sandbox import TemplateSandbox
from services.notifier.mail.answers import break_lines, quote_lines, visible_text
from services.notifier.mail.css_inlining import CssInlining
from services.notifier.mail.languages import Language

FOLDER: Final = Path(__file__).with_name("templates")
RENDERED_MAX: Final = 2 * 1024 * 1024
"""The largest number of characters of a rendered file: an alert may hold 64 KiB of fields, escaped."""
SUBJECT_MAX: Final = 150
_SUBJECT: Final = "Subject:"
STYLES: Final = "styles.css"
"""The name of the style sheet, which is inlined into the HTML files."""
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


class SubjectMissingError(Exception):
    """The text of a mail does not begin with a line `Subject: …`."""


class MailTemplates:
    """The templates of one site. `own` contains the files of the site, by name.

    A language has its own compiled templates, which contain the translated texts.
    """

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self._own = dict(own or {})
        self._environments: dict[str, Environment] = {}

    def render(self, mail: str, values: Mapping[str, Any], language: Language) -> tuple[str, str, str]:
        """Return the subject, the text and the HTML of a mail (one of `site_templates.MAILS`).

        If a template of the site fails, log a warning and use the templates of this package, so that a
        mistake in a template costs no mail.
        """
        if not self._own:
            return self.render_strictly(mail, values, language)
        try:
            return self.render_strictly(mail, values, language)
        except Exception as error:  # noqa: BLE001 - a template may raise anything; its text may hold personal data
            logger("templates").warning("template failed", mail=mail, error=type(error).__name__)
            return BUILT_IN.render_strictly(mail, values, language)

    def render_strictly(
        self, mail: str, values: Mapping[str, Any], language: Language
    ) -> tuple[str, str, str]:
        """Return the subject, the text and the HTML of a mail.

        Raises the template's error, `SubjectMissingError`, or `LimitError` if the text or the work of a
        site's template is too much.
        """
        head, _, text = self.render_file(f"{mail}.txt", values, language).partition("\n")
        if not head.startswith(_SUBJECT) or not (subject := subject_line(head.removeprefix(_SUBJECT))):
            raise SubjectMissingError
        return subject, text.lstrip("\n"), self.render_file(f"{mail}.html", values, language)

    def render_file(self, name: str, values: Mapping[str, Any], language: Language) -> str:
        """Return one rendered file.

        Raises the template's error, or `LimitError` if the text or the work of a site's template is too much.
        """
        environment = self._environment_of(language)
        template = environment.get_template(name)
        if isinstance(environment, TemplateSandbox):
            return environment.render_bounded(template, values, RENDERED_MAX)
        return template.render(values)

    def prepare(self, language: Language) -> None:
        """Compile all files for this language, so that the first mail does not wait for it (about 30 ms).

        Raises the error of a template that cannot be compiled.
        """
        environment = self._environment_of(language)
        for name in template_names() - {STYLES}:
            environment.get_template(name)

    def _environment_of(self, language: Language) -> Environment:
        environment = self._environments.get(language.code)
        if environment is None:
            environment = self._environments[language.code] = _environment(self._own, language)
        return environment


def subject_line(rendered: str) -> str:
    """Return a rendered subject as one line that no program decodes into other text.

    A template of a site may put what a visitor typed into the subject.
    """
    line = truncate(to_line(visible_text(rendered)), SUBJECT_MAX)
    return line.replace("=?", "= ?")


@cache
def template_names() -> frozenset[str]:
    """Return the names of the files that a site may replace."""
    return frozenset(path.name for path in FOLDER.iterdir() if path.suffix in (".css", ".html", ".txt"))


@cache
def _read_styles() -> str:
    return (FOLDER / STYLES).read_text(encoding="utf-8")


class _Translator(NodeTransformer):
    """Replaces each call of gettext with a constant text by the translation.

    A translated text with values becomes an output of its pieces and these values. Formatting it in each mail
    would take a tenth of the time of its HTML.
    """

    def __init__(self, environment: Environment, language: Language) -> None:
        self._environment = environment
        self._gettext = language.gettext

    def visit_Call(self, node: Call) -> Node:  # noqa: N802 - the name that jinja2 looks up
        self.generic_visit(node)
        if isinstance(node.node, Name) and node.node.name in ("_", "gettext") and len(node.args) == 1:
            (argument,) = node.args
            if isinstance(argument, Const):
                translated = Const(self._gettext(argument.value), lineno=node.lineno)
                return translated.set_environment(self._environment)
        return node

    def visit_Output(self, node: Output) -> Node:  # noqa: N802 - the name that jinja2 looks up
        self.generic_visit(node)
        if len(node.nodes) == 1 and isinstance(node.nodes[0], Mod) and (pieces := _pieces(node.nodes[0])):
            return Output(pieces, lineno=node.lineno).set_environment(self._environment)
        return node


def _pieces(formatted: Mod) -> list[Expr]:
    """Return the pieces of a translated text, and the values between them.

    Returns an empty list for any other formatting. An output escapes its values as this formatting does.
    """
    text, right = formatted.left, formatted.right
    # What the tag `trans` makes. The constant texts of other expressions are escaped too.
    if not isinstance(text, MarkSafeIfAutoescape) or not isinstance(right, Dict):
        return []
    if not isinstance(text.expr, Const):
        return []
    values = {pair.key.value: pair.value for pair in right.items if isinstance(pair.key, Const)}
    pieces = list[Expr]()
    for number, piece in enumerate(_PLACEHOLDER.split(text.expr.value)):
        if number % 2:
            pieces.append(values[piece])
        elif "%" in piece.replace("%%", ""):
            return []
        elif piece:
            pieces.append(TemplateData(piece.replace("%%", "%"), lineno=formatted.lineno))
    return pieces


class _Translating(Environment):
    """Translates texts when a template is compiled. In a mail this would take 40 us, 5 % of its time."""

    language: Language
    styles: str  # of the extension `CssInlining`

    def _generate(self, source: Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Translator(self, self.language).visit(source), *args, **options)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return a plain dictionary: copying jinja2's ChainMap takes a tenth of the time of a short mail."""
        return {**self.globals, **(d or {})}


class _TranslatingSandbox(_Translating, TemplateSandbox):
    """The same for the templates of a site."""


def _environment(own: Mapping[str, str], language: Language) -> Environment:
    options: dict[str, Any] = {
        "loader": ChoiceLoader([DictLoader(own), FileSystemLoader(FOLDER)]),
        "extensions": ["jinja2.ext.i18n", CssInlining],
        "autoescape": select_autoescape(["html"]),
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "auto_reload": False,  # or jinja2 checks the template files for each mail
        "cache_size": -1,  # no limit: there are few templates
    }
    environment = _TranslatingSandbox(**options) if own else _Translating(**options)
    environment.language = language
    environment.styles = own[STYLES] if STYLES in own else _read_styles()
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals |= {"gettext": language.gettext, "ngettext": language.ngettext}
    environment.filters["urlquote"] = _urlquote
    environment.filters["quote_lines"] = quote_lines
    environment.filters["break_lines"] = break_lines
    return environment


def _urlquote(value: str) -> str:
    return quote(value, safe="@")


BUILT_IN: Final = MailTemplates()
