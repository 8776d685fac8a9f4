"""Templates of a site: single files replaced, mistakes named, and no mail lost by one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from contracts.leads import LeadReceived
from runtime.sites import watched_files
from runtime.sites.file import parse_sites
from services.notifier.deliveries import KINDS
from services.notifier.mail.identities import Identities
from services.notifier.mail.mail_templates import BUILT_IN, MailTemplates, template_names
from services.notifier.mail.message import Identity, compose
from services.notifier.mail.site_templates import Folder, load_templates, mistakes, read_folders
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
    first, *_ = mistakes(load_templates(SITES, read_folders(SITES, tmp_path), {}))
    assert first.startswith(f"sites.studio.templates: {problem}")
    assert "root:" not in first


def test_a_missing_folder_is_a_mistake(tmp_path: Path) -> None:
    (found,) = mistakes(load_templates(SITES, read_folders(SITES, tmp_path), {}))
    assert found.startswith("sites.studio.templates: the folder cannot be read (No such")


def test_hidden_files_and_those_of_editors_are_ignored(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, welcome__txt=WELCOME, __data="x")
    for name in ("welcome.html~", "#welcome.html#", "welcome.txt.bak", "layout.html.swp", "layout.html.orig"):
        (folder / name).write_text("{{ nmae }}")
    identities = Identities(DEFAULT, SITES, tmp_path)
    assert identities.loaded["studio"].folder == Folder({"welcome.txt": WELCOME})
    assert (identities.warnings(), mistakes(identities.loaded)) == ([], [])


def test_regression_a_file_that_is_no_template_only_warns(tmp_path: Path) -> None:
    (folder_with(tmp_path, welcome__txt=WELCOME) / "README.md").write_text("x")
    identities = Identities(DEFAULT, SITES, tmp_path)
    assert "Subject: Hello from us\r\n" in welcome_of(identities.of("studio"))
    (warning,) = identities.warnings()
    assert warning.startswith(
        "sites.studio.templates: README.md is ignored: it is no template of an email (templates are "
    )


@pytest.mark.parametrize("text", ["Subject: x\n\n{{ nmae }}", "{% if %}", "x" * 140_000])
def test_regression_a_mistake_of_one_site_stops_no_mail_of_any_site(tmp_path: Path, text: str) -> None:
    sites = parse_sites(b"[sites.bad]\ntemplates = 'bad'\n[sites.studio]\ntemplates = 'studio'")
    folder_with(tmp_path, welcome__txt=WELCOME)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "welcome.txt").write_text(text)
    identities = Identities(DEFAULT, sites, tmp_path)
    assert "Subject: Hello from us\r\n" in welcome_of(identities.of("studio"))
    assert "Subject: Thank you for contacting Agency" in welcome_of(identities.of("bad"))
    (warning,) = identities.warnings()
    assert warning.startswith("sites.bad.templates: welcome")
    assert warning.endswith(". FASTCore's own templates apply")
    assert (identities.lacks_templates("bad"), identities.lacks_templates("studio")) == (True, False)


async def test_a_mistake_keeps_the_templates_before_but_not_the_sites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.01)
    folder_with(tmp_path, welcome__txt=WELCOME)
    identities = Identities(DEFAULT, SITES, tmp_path)
    folder_with(tmp_path, welcome__txt="Subject: x\n\n{{ nmae }}")
    await identities.apply(parse_sites(b"[sites.studio]\ntemplates = 'studio'\nlocale = 'fr'"))
    assert "Dear Ada Lovelace, Merci." in welcome_of(identities.of("studio"))
    (warning,) = identities.warnings()
    assert warning.endswith("'nmae' is undefined. The version before still applies")


def test_a_template_is_checked_with_the_longest_fields(tmp_path: Path) -> None:
    loops = "{% for a in fields %}{% for b in fields %}{{ a }}{% endfor %}{% endfor %}"
    folder_with(tmp_path, admin_alert__txt=f"Subject: x\n\n{loops}")
    (found,) = mistakes(load_templates(SITES, read_folders(SITES, tmp_path), {}))
    assert found == "sites.studio.templates: admin_alert: cannot be rendered (LimitError)"


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
    kinds = ("welcome", "admin_alert", "alert_digest", "held_digest")
    assert template_names() == {
        "layout.html",
        "styles.css",
        *(f"{kind}.{part}" for kind in kinds for part in ("txt", "html")),
    }


def test_templates_are_compiled_before_the_first_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = parse_sites(
        b"[sites.studio]\nlocale = 'de'\nalert_locale = 'nl'\ntemplates = 'studio'\n"
        b"[sites.plain]\nlocale = 'pl'"
    )
    folder_with(tmp_path, welcome__txt=WELCOME)
    monkeypatch.setattr(BUILT_IN, "_environments", {})  # other tests compiled them
    identities = Identities(DEFAULT, sites, tmp_path)

    def fail(*_: Any, **__: Any) -> str:
        raise AssertionError

    monkeypatch.setattr(Environment, "compile", fail)
    for site in ("studio", "plain", "none"):
        for kind in KINDS:
            compose(kind, lead(site=site), identities.of(site), NOW)
    with pytest.raises(AssertionError):
        compose("welcome", lead(locale="it"), identities.of("plain"), NOW)
