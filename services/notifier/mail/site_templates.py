"""Reads and checks the folders of templates that the sites file names.

A mistake in a folder concerns only its site: its previous templates stay, or those of this package.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import TemplateError, TemplateSyntaxError

from contracts.mail_previews import PreviewKind
from runtime.sites.model import Site, Sites
from services.notifier.mail.alert_digest import AlertDigest, alert_digest_values
from services.notifier.mail.languages import Language, find_language
from services.notifier.mail.mail_templates import BUILT_IN, MailTemplates, SubjectMissingError, template_names
from services.notifier.mail.message import Identity, language_of, template_values
from services.notifier.mail.samples import sample_lead, sample_listed_lead, sample_values

FILE_MAX_BYTES: Final = 128 * 1024
MAILS: Final = ("welcome", "admin_alert", "alert_digest", "held_digest")
# What editors leave beside a file, and hidden files: a mounted ConfigMap has folders and links of that kind.
_IGNORED: Final = re.compile(r"\..*|.*~|#.*#|.*\.(?:bak|orig|sw[a-z]|tmp)")


@dataclass(frozen=True)
class Folder:
    """What a site's folder of templates contains.

    `files` are the templates by name, `unknown` the names of files that are no templates, and `problems` the
    reasons why the folder or a file cannot be used.
    """

    files: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


Folders = Mapping[str, Folder]
"""The folders by site."""


@dataclass(frozen=True)
class SiteTemplates:
    """The templates that a site uses.

    If `problems` is not empty, the folder has mistakes. Then `templates` are those before, or the built-in
    ones.
    """

    folder: Folder
    language: Language
    templates: MailTemplates
    problems: tuple[str, ...] = ()


Loaded = Mapping[str, SiteTemplates]
"""The templates in use by site."""


def read_folders(sites: Sites, base: Path) -> dict[str, Folder]:
    """Return the folder of each site that has templates. A relative path begins at `base`.

    `base` is the folder of the sites file.
    """
    return {
        name: _read_folder(base / site.templates) for name, site in sites.by_name.items() if site.templates
    }


def load_templates(sites: Sites, folders: Folders, known: Loaded) -> dict[str, SiteTemplates]:
    """Return the templates of each site, after rendering each of them with example leads.

    `known` are the templates until now. Those of an unchanged folder are not compiled again. Compiles also
    our own templates in the languages of the sites.
    """
    for site in (Site(), *sites.by_name.values()):
        for language in _languages_of(site):
            BUILT_IN.prepare(language)
    return {name: _load(sites.get(name), folder, known.get(name)) for name, folder in folders.items()}


def _load(site: Site, folder: Folder, known: SiteTemplates | None) -> SiteTemplates:
    language = find_language(site.locale)
    if known is not None and (known.folder, known.language) == (folder, language):
        return known
    templates = MailTemplates(folder.files)
    problems = folder.problems or tuple(dict.fromkeys(_mistakes(templates, language)))
    if problems:
        templates = known.templates if known else BUILT_IN
    else:
        for each in _languages_of(site):
            templates.prepare(each)
    return SiteTemplates(folder, language, templates, problems)


def _languages_of(site: Site) -> tuple[Language, Language]:
    """Return the languages of the site's visitors, if they name none, and of its team."""
    return find_language(site.locale), find_language(site.alert_locale, site.locale)


def mistakes(loaded: Loaded) -> list[str]:
    """Return all mistakes in the folders, also each file that is no template."""
    found = list[str]()
    for name, site in loaded.items():
        problems = [*site.problems, *(f"{file}: {_unknown_file(file)}" for file in site.folder.unknown)]
        found += [f"sites.{name}.templates: {each}" for each in problems]
    return found


def warnings(name: str, site: SiteTemplates) -> Iterator[str]:
    """Yield what an operator must know about the templates of the site, in sentences without the last dot."""
    if site.problems:
        used = (
            "FASTCore's own templates apply"
            if site.templates is BUILT_IN
            else "The version before still applies"
        )
        yield f"sites.{name}.templates: {'; '.join(site.problems)}. {used}"
    for file in site.folder.unknown:
        yield f"sites.{name}.templates: {file} is ignored: it {_unknown_file(file)}"


def _read_folder(folder: Path) -> Folder:
    """Return what the folder contains, without hidden files and what editors leave there."""
    files, unknown, problems = dict[str, str](), list[str](), list[str]()
    try:
        for path in sorted(folder.iterdir()):
            if path.name in template_names():
                try:
                    files[path.name] = _read_file(path)
                except ValueError as error:
                    problems.append(f"{path.name}: {error}")
            elif not _IGNORED.fullmatch(path.name):
                unknown.append(path.name)
    except OSError as error:
        problems = [f"the folder cannot be read ({error.strerror})"]
    return Folder(files, tuple(unknown), tuple(problems))


def _read_file(path: Path) -> str:
    """Return the file's text. Raises `ValueError` with the reason if it cannot be a template."""
    with path.open("rb") as file:
        content = file.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise ValueError(f"is larger than {FILE_MAX_BYTES // 1024} KiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _unknown_file(name: str) -> str:
    similar = difflib.get_close_matches(name, template_names(), n=1)
    known = (
        f"did you mean {similar[0]}?" if similar else f"templates are {', '.join(sorted(template_names()))}"
    )
    return f"is no template of an email ({known})"


def _mistakes(templates: MailTemplates, language: Language) -> Iterator[str]:
    """Yield the mistakes that rendering each file with example leads shows."""
    for mail in MAILS:
        for values in sample_values(mail, language):
            try:
                _, text, html = templates.render_strictly(mail, values, language)
            except Exception as error:  # noqa: BLE001 - a template may raise anything
                yield _describe(mail, error)
            else:
                if not (text.strip() and html.strip()):
                    yield f"{mail}: has an empty part"


def template_error(kind: PreviewKind, site: str, identity: Identity, locale: str | None) -> str:
    """Return why the site's template fails for an invented lead of this locale, or an empty text."""
    lead = sample_lead(site, locale)
    if kind == "alert_digest":
        language = language_of("admin_alert", lead, identity)
        digest = AlertDigest(lead.lead_id, site, identity.admins, (sample_listed_lead(site),))
        values = alert_digest_values(digest, identity, language)
    else:
        language = language_of(kind, lead, identity)
        values = template_values(kind, lead, identity, language)
    try:
        identity.templates.render_strictly(kind, values, language)
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        return f"sites.{site}.templates: {_describe(kind, error)}"
    return ""


def _describe(mail: str, error: Exception) -> str:
    """Return what is wrong with a template that raised this error while rendering the mail.

    The text may contain values of the lead: use an invented one.
    """
    if isinstance(error, SubjectMissingError):
        return f"{mail}.txt: must begin with a line Subject: and the subject"
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name or mail}: line {error.lineno}: {error.message}"
    if isinstance(error, TemplateError):
        return f"{mail}: {error.message}"
    return f"{mail}: cannot be rendered ({type(error).__name__})"
