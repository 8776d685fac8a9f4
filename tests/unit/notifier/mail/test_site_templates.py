"""Templates of a site: single files replaced, mistakes named, and no mail lost by one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.sites.file import SitesFileError, parse_sites
from services.notifier.mail.identities import Identities
from services.notifier.mail.mail_templates import MailTemplates, template_names
from services.notifier.mail.message import Identity, compose
from tests.support.factories import lead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEFAULT = Identity("hello@agency.example", "Agency", ("boss@agency.example",))
SITES = parse_sites(b"[sites.studio]\nlocale = 'de'\ntemplates = 'studio'\n[sites.plain]")
WELCOME = "Subject: Hello from us\n\nDear {{ name or 'visitor' }}, {{ _('Thank you') }}.\n"


def folder_with(base: Path, **files: str) -> Path:
    """Write files into the folder of the site studio; `__` in a name stands for a dot."""
    folder = base / "studio"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def welcome_of(identity: Identity, **changes: Any) -> str:
    return compose("welcome", lead(**changes), identity, NOW).content.decode()


def test_a_site_replaces_single_files_and_keeps_the_others(tmp_path: Path) -> None:
    folder_with(tmp_path, welcome__txt=WELCOME)
    identities = Identities(DEFAULT, SITES, tmp_path)
    mail = welcome_of(identities.of("studio"))
    assert "Subject: Hello from us\r\n" in mail
    assert "Dear Ada Lovelace, Vielen Dank." in mail
    assert "Ihre Anfrage ist bei uns eingegangen." in mail  # the HTML part is ours
    assert "Subject: Thank you for contacting Agency" in welcome_of(identities.of("plain"))


def test_a_replaced_layout_is_the_frame_of_all_mails(tmp_path: Path) -> None:
    folder_with(tmp_path, layout__html="<p>FRAME</p>{% block body %}{% endblock %}")
    identity = Identities(DEFAULT, SITES, tmp_path).of("studio")
    for kind in ("welcome", "admin_alert"):
        assert b"<p>FRAME</p>" in compose(kind, lead(), identity, NOW).content


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("welcom.html", "x", "welcom.html: is no template of an email (did you mean welcome.html?)"),
        ("notes.md", "x", "notes.md: is no template of an email (templates are "),
        ("welcome.html", "{% if %}", "welcome.html: line 1: "),
        ("welcome.html", "a\n{{ nmae }}", "welcome: 'nmae' is undefined"),
        ("welcome.html", "{{ message }}", "welcome: 'message' is undefined"),
        ("welcome.html", "", "welcome: has an empty part"),
        ("welcome.txt", "Hello", "welcome.txt: must begin with a line Subject: and the subject"),
        ("welcome.txt", "Subject:  \n\nHello", "welcome.txt: must begin with a line Subject:"),
        ("welcome.html", "{{ name.__class__.__mro__ }}", "welcome: "),
        ("welcome.html", "{{ 'a' * 999999999 }}", "welcome: cannot be rendered (LimitError)"),
        ("welcome.html", "{{ '%(x)999999999d' % {'x': 1} }}", "welcome: cannot be rendered (LimitError)"),
        ("layout.html", "{% include '../samples.py' %}", ""),
        ("layout.html", "{% include '/etc/passwd' %}", ""),
        ("welcome.html", "x" * 140_000, "welcome.html: is larger than 128 KiB"),
    ],
)
def test_a_mistake_names_the_site_and_the_file(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (folder_with(tmp_path) / name).write_text(text)
    with pytest.raises(SitesFileError) as raised:
        Identities(DEFAULT, SITES, tmp_path)
    assert str(raised.value).startswith(f"sites.studio.templates: {problem}")
    assert "root:" not in str(raised.value)


def test_a_missing_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(
        SitesFileError, match=r"sites\.studio\.templates: the folder cannot be read \(No such"
    ):
        Identities(DEFAULT, SITES, tmp_path)


def test_hidden_files_of_a_mounted_config_map_are_ignored(tmp_path: Path) -> None:
    folder_with(tmp_path, welcome__txt=WELCOME, __data="x")
    assert Identities(DEFAULT, SITES, tmp_path).sources == {"studio": {"welcome.txt": WELCOME}}


def test_a_mistake_changes_nothing(tmp_path: Path) -> None:
    folder_with(tmp_path, welcome__txt=WELCOME)
    identities = Identities(DEFAULT, SITES, tmp_path)
    folder_with(tmp_path, welcome__txt="Subject: x\n\n{{ nmae }}")
    with pytest.raises(SitesFileError, match="nmae"):
        identities.apply(parse_sites(b"[sites.studio]\ntemplates = 'studio'\nlocale = 'fr'"))
    assert "Dear Ada Lovelace, Vielen Dank." in welcome_of(identities.of("studio"))


def test_a_template_that_fails_for_one_lead_costs_no_mail() -> None:
    broken = {"admin_alert.txt": "Subject: x\n\n{{ fields['Extra budget'] }}"}
    identity = replace(DEFAULT, templates=MailTemplates(broken))
    assert b"Subject: x\r\n" in compose("admin_alert", lead(extra={"budget": "1"}), identity, NOW).content
    assert b"Subject: New lead " in compose("admin_alert", lead(), identity, NOW).content


def test_no_visitor_puts_an_encoded_word_into_the_subject() -> None:
    own = {"admin_alert.txt": "Subject: {{ fields['Name'] }}\n\nx"}
    identity = replace(DEFAULT, templates=MailTemplates(own))
    asking: LeadReceived = lead(name="=?UTF-8?Q?=0A?=Bcc: v@x.example", message="m")
    content = compose("admin_alert", asking, identity, NOW).content
    assert b"Subject: = ?UTF-8?Q?=0A?=Bcc: v@x.example\r\n" in content


def test_the_names_of_the_templates_are_a_promise() -> None:
    kinds = ("welcome", "admin_alert", "held_digest")
    assert template_names() == {
        "layout.html",
        *(f"{kind}.{part}" for kind in kinds for part in ("txt", "html")),
    }
