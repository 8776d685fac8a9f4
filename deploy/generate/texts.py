"""`python -m deploy.generate.texts [--check]`: write or check the catalogues of the dashboard and of emails.

A catalogue (.pot) lists texts for translators. There is one for each page, and one for all emails. The texts
that several pages have are in `shared.pot`, so that each is translated once.
"""

from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from deploy.generate.files import ROOT, write_files
from services.admin.texts import CATALOGUES
from services.notifier.mail.languages import CATALOGUES as MAIL_CATALOGUES

ADMIN: Final = ROOT / "services/admin"
DASHBOARD: Final = ADMIN / "dashboard"
SHARED: Final = "shared"
MAIL_NAME: Final = "mail"
MAIL: Final = ROOT / "services/notifier/mail"
# The sources of each page, in dashboard/templates and dashboard. All other files are shared.
PAGES: Final[dict[str, tuple[str, ...]]] = {
    "audit": ("templates/audit.html", "pages/audit.py"),
    "bulk": ("templates/bulk/*.html", "pages/bulk_changes.py"),
    "deliveries": (
        "templates/deliveries/*.html",
        "pages/failed_deliveries.py",
        "pages/replays.py",
        "replay_summary.py",
    ),
    "destinations": ("templates/destinations/*.html", "pages/destinations.py"),
    "emails": ("templates/emails.html", "pages/emails.py"),
    "errors": ("templates/error.html", "error_texts.py", "pages/not_found.py", "rendering.py"),
    "export": ("templates/leads/export_*.html", "pages/lead_exports.py"),
    "held": ("templates/leads/held*.html", "pages/held_leads.py"),
    "jobs": ("templates/jobs.html", "pages/jobs.py"),
    "lead": (
        *(
            f"templates/leads/{name}.html"
            for name in (
                "activity",
                "contact",
                "deliveries",
                "edit*",
                "follow_up*",
                "lead",
                "note*",
                "release*",
            )
        ),
        *(f"templates/leads/{name}.html" for name in ("resend*", "_resend_form", "status")),
        *(f"pages/{name}.py" for name in ("lead", "lead_deliveries", "lead_edit", "lead_notes")),
    ),
    "leads": (
        *(f"templates/leads/{name}.html" for name in ("bulk_bar", "columns", "leads")),
        *(f"{name}.py" for name in ("pages/leads", "lead_search", "list_columns", "view_links")),
    ),
    "login": ("templates/login.html", "pages/login.py"),
    "overview": ("templates/overview/*.html", "pages/overview.py", "charts.py"),
    "palette": ("templates/palette*.html", "pages/palette.py"),
    "personal_data": ("templates/personal_data/*.html", "pages/personal_data.py"),
    "status": (
        "templates/status/*.html",
        "pages/status.py",
        "pages/incidents.py",
        "disruptions/*.py",
        "headline.py",
    ),
    "suppressions": ("templates/suppressions.html", "pages/suppressions.py"),
    "views": ("templates/views/*.html", "pages/views.py"),
}
KEYWORDS: Final[dict[str, Any]] = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "plural_forms": (1, 2),
}
COMMENT: Final = "TRANSLATORS:"
HEAD: Final = """\
# The texts of {page}, in English. Generated from the code by `make texts`. How to translate: docs/{guide}.md.
msgid ""
msgstr ""
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
# A text, or its singular and plural.
Message = str | tuple[str, ...]


def catalogues() -> dict[Path, str]:
    """Return the text of each catalogue, by the path of its file."""
    pages = defaultdict[Message, list[str]](list)
    found = list(_find_messages())
    for page, _, message, _ in found:
        if page not in pages[message]:
            pages[message].append(page)
    written = {page: Catalog(charset="utf-8") for page in (*PAGES, SHARED)}
    for page, source, message, comments in found:
        written[page if len(pages[message]) == 1 else SHARED].add(
            message, locations=[(source, 1)], auto_comments=comments
        )
    pots = {CATALOGUES / f"{page}.pot": _as_pot(page, catalogue) for page, catalogue in written.items()}
    return pots | {MAIL_CATALOGUES / "mail.pot": _as_pot(MAIL_NAME, mail_catalogue())}


def mail_catalogue() -> Catalog:
    """Return the texts of all emails."""
    catalogue = Catalog(charset="utf-8")
    for path in sorted(path for kind in ("*.py", "*.html", "*.txt") for path in MAIL.rglob(kind)):
        for message, comments in _extract(path):
            catalogue.add(message, locations=[(str(path.relative_to(MAIL)), 1)], auto_comments=comments)
    return catalogue


def _find_messages() -> Iterator[tuple[str, str, Message, list[str]]]:
    """Yield each message with its page, its file and its comments for translators."""
    page_of = {path: page for page, names in PAGES.items() for name in names for path in DASHBOARD.glob(name)}
    for path in sorted(path for kind in ("*.py", "*.html") for path in ADMIN.rglob(kind)):
        if path == ADMIN / "texts.py":
            continue
        for message, comments in _extract(path):
            yield page_of.get(path, SHARED), str(path.relative_to(ADMIN)), message, comments


def _extract(path: Path) -> Iterator[tuple[Message, list[str]]]:
    """Yield each message of a file with its comments for translators."""
    method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
    options = {"trimmed": "true", "newstyle_gettext": "true"}
    for _, message, comments, _ in extract_from_file(
        method, path, KEYWORDS, (COMMENT,), options, strip_comment_tags=True
    ):
        yield message, comments


def _as_pot(page: str, catalogue: Catalog) -> str:
    """Return a catalogue as text. Line numbers are omitted: they would change with every edit."""
    file = BytesIO()
    write_po(file, catalogue, width=110, omit_header=True, include_lineno=False)
    names = {SHARED: "several pages", MAIL_NAME: "emails"}
    head = HEAD.format(
        page=names.get(page, f"the page {page}"), guide="email" if page == MAIL_NAME else "design"
    )
    return head + file.getvalue().decode().strip() + "\n"


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing. Fail if a catalogue is out of date.")
    ] = False,
) -> None:
    """Extract the catalogues from the code. With --check, exit with 1 if one is out of date."""
    write_files(catalogues(), check=check, target="texts")


if __name__ == "__main__":
    typer.run(main)
