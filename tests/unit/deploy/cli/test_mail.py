"""`python -m deploy.cli.mail`: the preview is the mail that would be sent."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.mail import app

SITES = """
[sites.studio]
from = "Studio Nord <hello@studio.example>"
reply_to = "office@studio.example"
alert_to = ["team@studio.example"]
locale = "de"
"""
VARIABLES = {
    "FROM_EMAIL": "hello@agency.example",
    "ADMIN_EMAIL": "boss@agency.example",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "1",
    "SMTP_TLS": "false",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_URL": "postgresql://a:b@127.0.0.1/c",
    "DEBUG": "true",
}


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FASTCORE_SITES_FILE", str(tmp_path / "sites.toml"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def previewed(*arguments: str) -> EmailMessage:
    result = run("preview", *arguments)
    assert result.exit_code == 0, result.output
    read = email.message_from_bytes(result.stdout_bytes, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def test_the_preview_is_the_mail_of_the_site() -> None:
    welcome = previewed("studio", "welcome")
    assert (welcome["From"], welcome["Reply-To"]) == (
        "Studio Nord <hello@studio.example>",
        "office@studio.example",
    )
    assert welcome["Subject"] == "Vielen Dank für Ihre Anfrage bei Studio Nord"
    alert = previewed("studio", "alert", "--locale", "fr")
    assert (alert["To"], str(alert["Subject"])[:13]) == ("team@studio.example", "Neue Anfrage ")
    assert str(previewed("studio", "welcome", "--locale", "fr")["Subject"]).startswith("Merci")


def test_the_html_part_can_be_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "welcome.html"
    assert run("preview", "studio", "welcome", "--html", "--output", str(file)).exit_code == 0
    assert file.read_text().startswith('<!doctype html>\n<html lang="de" dir="ltr"')


def test_an_unknown_site_or_a_wrong_address_is_one_line() -> None:
    assert "no site nope; its sites are studio" in run("preview", "nope", "welcome").output
    result = run("send", "studio", "alert", "nobody")
    assert (result.exit_code, "not an email address" in result.output) == (1, True)


def test_an_unreachable_server_is_reported() -> None:
    result = run("send", "studio", "welcome", "me@studio.example")
    assert (result.exit_code, "not sent: unavailable: smtp connection" in result.output) == (1, True)


def test_a_mistake_in_a_template_is_a_warning_beside_the_built_in_mail(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(SITES + "templates = 'studio'\n")
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "welcome.txt").write_text("Subject: x\n\n{{ nmae }}")
    result = run("preview", "studio", "welcome")
    assert "warning: sites.studio.templates: welcome: 'nmae' is undefined" in result.stderr
    assert result.stdout.startswith("Date: ")
    assert "Studio Nord" in result.stdout
