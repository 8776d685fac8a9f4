"""Reads and checks the folders of templates that the sites file names. A mistake raises `SitesFileError`."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from jinja2 import TemplateError, TemplateSyntaxError

from runtime.sites.file import SitesFileError
from runtime.sites.model import Site, Sites
from services.notifier.mail.languages import find_language
from services.notifier.mail.mail_templates import MailTemplates, SubjectMissingError, template_names
from services.notifier.mail.samples import sample_values

FILE_MAX_BYTES: Final = 128 * 1024
MAILS: Final = ("welcome", "admin_alert", "held_digest")
# The files of each site's folder, by name.
Sources = Mapping[str, Mapping[str, str]]


def read_sources(sites: Sites, base: Path) -> dict[str, dict[str, str]]:
    """Return the files of each site that has a folder of templates.

    A relative folder begins at `base`, the folder of the sites file.
    """
    sources, problems = dict[str, dict[str, str]](), list[str]()
    for name, site in sites.by_name.items():
        if site.templates:
            try:
                sources[name] = _read_folder(base / site.templates)
            except SitesFileError as error:
                problems += [f"sites.{name}.templates: {each}" for each in error.problems]
    if problems:
        raise SitesFileError(*problems)
    return sources


def compile_sources(sites: Sites, sources: Sources, known: Sources | None = None) -> dict[str, MailTemplates]:
    """Return the templates of each site, after rendering each of them with example leads.

    A site whose files are the same in `known` is not checked again.
    """
    compiled, problems = dict[str, MailTemplates](), list[str]()
    for name, own in sources.items():
        compiled[name] = MailTemplates(own)
        if known is None or known.get(name) != own:
            found = _mistakes(compiled[name], sites.get(name))
            problems += [f"sites.{name}.templates: {each}" for each in found]
    if problems:
        raise SitesFileError(*dict.fromkeys(problems))
    return compiled


def _read_folder(folder: Path) -> dict[str, str]:
    """Return the files of a folder, by name. Files with a dot at the beginning are ignored."""
    try:
        # A mounted ConfigMap has folders and links that begin with a dot.
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        unknown = [path.name for path in paths if path.name not in template_names()]
        if unknown:
            raise SitesFileError(*map(_unknown_file, unknown))
        return {path.name: _read_file(path) for path in paths}
    except OSError as error:
        raise SitesFileError(f"the folder cannot be read ({error.strerror})") from error


def _read_file(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise SitesFileError(f"{path.name}: is larger than {FILE_MAX_BYTES // 1024} KiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SitesFileError(f"{path.name}: is not UTF-8") from None


def _unknown_file(name: str) -> str:
    similar = difflib.get_close_matches(name, template_names(), n=1)
    known = (
        f"did you mean {similar[0]}?" if similar else f"templates are {', '.join(sorted(template_names()))}"
    )
    return f"{name}: is no template of an email ({known})"


def _mistakes(templates: MailTemplates, site: Site) -> Iterator[str]:
    """Yield the mistakes that rendering each file with example leads shows."""
    language = find_language(site.locale)
    for mail in MAILS:
        for values in sample_values(mail, language):
            try:
                _, text, html = templates.render_strictly(mail, values, language)
            except SubjectMissingError:
                yield f"{mail}.txt: must begin with a line Subject: and the subject"
            except TemplateSyntaxError as error:
                yield f"{error.name or mail}: line {error.lineno}: {error.message}"
            except TemplateError as error:
                yield f"{mail}: {error.message}"
            except Exception as error:  # noqa: BLE001 - a template may raise anything
                yield f"{mail}: cannot be rendered ({type(error).__name__})"
            else:
                if not (text.strip() and html.strip()):
                    yield f"{mail}: has an empty part"
