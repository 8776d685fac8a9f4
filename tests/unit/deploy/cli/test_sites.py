"""`python -m deploy.cli.sites check FILE`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.sites import app

TOKEN = "a-token-of-a-website-1234567890"
FILE = """
[defaults]
locale = "de"
retention_days = 730
[sites.studio]
tokens = ["env:STUDIO_TOKEN"]
from = "Studio Nord <hello@studio.example>"
fields = { name = ["your-name"] }
reply = { subject = "Your request", body = "Hello {{ name }}," }
limits = { leads_per_ip_per_hour = 5 }
reply_to = "office@studio.example"
alert_rules = [
    { service = "Hosting", locale = "de", to = ["it@studio.example"] },
    { locale = "fr", to = ["a@studio.example", "b@studio.example"] },
]
"""


def check(folder: Path, text: str) -> tuple[int, str]:
    file = folder / "sites.toml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["check", str(file)])
    return result.exit_code, result.output


def test_a_valid_file_shows_each_site_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", TOKEN)
    code, output = check(tmp_path, FILE)
    assert code == 0, output
    assert "1 site, no mistakes" in output
    for shown in (
        "studio",
        "env:STUDIO_TOKEN",
        "Studio Nord <hello@studio.example>",
        "name: your-name",
        "subject: Your request; body: Hello {{ name }},",
        "limits           leads_per_ip_per_hour: 5\n",
        "reply_to         office@studio.example\n",
        "  alert_rules      service Hosting and locale de: it@studio.example\n",
        "  alert_rules      locale fr: a@studio.example, b@studio.example\n",
        "retention_days   730\n",
    ):
        assert shown in output
    assert "None" not in output
    assert "locale           de" in output
    assert TOKEN not in output


def test_mistakes_and_unset_variables_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDIO_TOKEN", raising=False)
    code, output = check(tmp_path, FILE)
    assert code == 1
    assert "sites.studio.tokens: the variable STUDIO_TOKEN is not set" in output
    code, output = check(tmp_path, "[sites.x]\nlocale = 1")
    assert (code, "sites.x.locale: must be text in quotes" in output) == (1, True)
    code, output = check(tmp_path, "[sites.x]\nlocale = 1\norigins = ['a.example']")
    assert "sites.toml: 2 mistakes\n  sites.x.origins: value 1 must be an origin" in output
    assert "\n  sites.x.locale: must be text in quotes\n" in output
    code, output = check(tmp_path, "[sites.x.reply]\nbody = 'Hello {{ nmae }}'")
    assert (code, "sites.x.reply.body: has a name that is no field" in output) == (1, True)


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ('signing_secrets = { typeform = "env:TYPEFORM_SECRET" }', "signing_secrets.typeform: the variable"),
        ('captcha = { kind = "turnstile", secret = "env:TYPEFORM_SECRET" }', "captcha.secret: the variable"),
        ('captcha = { kind = "altcha" }', "captcha.secret: is missing"),
    ],
)
def test_regression_unset_secret_that_stops_the_gateway_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, mistake: str
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", TOKEN)
    monkeypatch.delenv("TYPEFORM_SECRET", raising=False)
    monkeypatch.setenv("FASTCORE_SITE_INGEST_TOKEN", "")
    code, output = check(tmp_path, FILE + line)
    assert code == 1
    assert f"sites.studio.{mistake}" in output
    monkeypatch.setenv("TYPEFORM_SECRET", TOKEN)
    monkeypatch.setenv("FASTCORE_SITE_INGEST_TOKEN", TOKEN)
    code, output = check(tmp_path, FILE + line)
    assert code == 0
    assert TOKEN not in output


def test_captcha_and_signing_secrets_are_shown_as_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("STUDIO_TOKEN", "SECRET"):
        monkeypatch.setenv(variable, TOKEN)
    lines = (
        'signing_secrets = { tally = "env:SECRET" }\ncaptcha = { kind = "hcaptcha", secret = "env:SECRET" }'
    )
    _, output = check(tmp_path, FILE + lines)
    assert "tally: env:SECRET" in output
    assert "hcaptcha: env:SECRET" in output


@pytest.mark.parametrize(
    ("url", "change", "is_noted"),
    [
        ("http://127.0.0.1:9000/hook", "", True),
        ("http://192.168.1.4/hook", "", True),
        ("http://[::1]/hook", "", True),
        ("http://localhost/hook", "", True),
        ("http://192.168.1.4/hook", "allow_private = true", False),
        ("https://crm.example.com/hook", "", False),
        ("https://8.8.8.8/hook", "", False),
    ],
)
def test_destinations_are_listed_and_private_addresses_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, change: str, is_noted: bool
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", TOKEN)
    monkeypatch.setenv("CHAT_URL", "http://10.0.0.1/secret-path")
    code, output = check(
        tmp_path,
        f"""{FILE}
[[destinations]]
name = "crm"
kind = "http"
url = "{url}"
sites = ["studio"]
events = ["lead.received", "lead.updated"]
body = "x"
{change}
[[destinations]]
name = "chat"
kind = "slack"
url = "env:CHAT_URL"
""",
    )
    assert code == 0, output
    assert "1 site, 2 destinations, no mistakes" in output
    crm, chat = output.split("\ndestination crm\n")[1].split("\ndestination chat\n")
    assert "  kind             http\n  sites            studio\n" in crm
    assert "  events           lead.received, lead.updated\n" in crm
    assert ("note: address is not public: add allow_private = true if it is meant" in crm) == is_noted
    assert chat == (
        "  kind             slack\n  sites            all\n"
        "  events           lead.received, lead.alert_failed\n"
    )
    assert "secret-path" not in output


def test_every_mistake_in_a_folder_of_templates_fails(tmp_path: Path) -> None:
    (tmp_path / "studio").mkdir()
    for name, text in (("README.md", "x"), ("welcome.txt", "Subject: x\n\n{{ nmae }}")):
        (tmp_path / "studio" / name).write_text(text)
    code, output = check(tmp_path, "[sites.studio]\ntemplates = 'studio'")
    assert (code, "2 mistakes" in output) == (1, True)
    assert "sites.studio.templates: README.md: is no template of an email" in output
    assert "sites.studio.templates: welcome: 'nmae' is undefined" in output
