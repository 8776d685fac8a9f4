"""`python -m deploy.cli.mail`: the preview is the mail that would be sent."""

import asyncio
import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.mail import app
from services.notifier.mail.dkim_key import make_private_key, parse_private_key
from services.notifier.mail.dkim_signature import DkimSigner
from tests.support.mail.smtp import smtp_server

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


@pytest.mark.parametrize("kind", ["welcome", "alert", "digest"])
def test_two_previews_are_about_the_same_lead(kind: str) -> None:
    first, second = previewed("studio", kind), previewed("studio", kind)
    names = ("Subject", "Message-ID")
    assert [first[name] for name in names] == [second[name] for name in names]
    ids = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{8}\b")
    assert set(ids.findall(_text(first))) == set(ids.findall(_text(second))) != set()


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


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


async def test_an_accepted_mail_goes_to_the_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with smtp_server() as server:
        monkeypatch.setenv("SMTP_PORT", str(server.port))
        for kind in ("welcome", "alert"):
            result = await asyncio.to_thread(run, "send", "studio", kind, "me@studio.example")
            assert (result.exit_code, result.output) == (0, "sent to me@studio.example\n")
    assert [mail.recipients for mail in server.mails] == [["me@studio.example"]] * 2
    assert {mail.sender for mail in server.mails} == {"hello@studio.example"}
    welcome, alert = (mail.message for mail in server.mails)
    assert (welcome["To"], welcome["Reply-To"]) == ("me@studio.example", "office@studio.example")
    assert (alert["To"], str(alert["Subject"])[:13]) == ("me@studio.example", "Neue Anfrage ")


async def test_a_refused_mail_is_reported_with_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async with smtp_server() as server:
        server.always["rcpt:me@studio.example"] = "550 5.1.1 no such user"
        monkeypatch.setenv("SMTP_PORT", str(server.port))
        result = await asyncio.to_thread(run, "send", "studio", "welcome", "me@studio.example")
    assert (result.exit_code, "not sent: dead: 550 5.1.1 no such user" in result.output) == (1, True), (
        result.output
    )


def test_a_mistake_in_a_template_is_a_warning_beside_the_built_in_mail(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(SITES + "templates = 'studio'\n")
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio" / "welcome.txt").write_text("Subject: x\n\n{{ nmae }}")
    result = run("preview", "studio", "welcome")
    assert "warning: sites.studio.templates: welcome: 'nmae' is undefined" in result.stderr
    assert result.stdout.startswith("Date: ")
    assert "Studio Nord" in result.stdout


def test_a_new_key_is_written_and_its_record_printed(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = run("dkim-key", "FC1", "studio.example", "--output", str(file))
    assert made.exit_code == 0, made.output
    assert file.stat().st_mode & 0o777 == 0o600
    public = DkimSigner("studio.example", "fc1", parse_private_key(file.read_text())).public_value
    assert (
        f"name   fc1._domainkey.studio.example\ntype   TXT\nvalue  v=DKIM1; k=rsa; p={public}\n"
        in made.output
    )
    zone_line = made.output.splitlines()[-1]
    assert zone_line.startswith("fc1._domainkey.studio.example. 3600 IN TXT ")
    assert all(len(part) <= 255 for part in zone_line.split('"')[1::2])
    assert "".join(zone_line.split('"')[1::2]) == f"v=DKIM1; k=rsa; p={public}"
    wrong = run("dkim-key", "bad selector", "studio.example", "--output", str(tmp_path / "x.pem"))
    assert (wrong.exit_code, "selector 'bad selector': must be" in wrong.output) == (1, True)
    wrong = run("dkim-key", "fc1", "no domain", "--output", str(tmp_path / "x.pem"))
    assert (wrong.exit_code, "domain 'no domain': must be" in wrong.output) == (1, True)
    again = run("dkim-key", "fc1", "studio.example", "--output", str(file))
    assert (again.exit_code, "File exists" in again.output) == (1, True), "a key is never overwritten"


def test_the_preview_is_signed_and_the_records_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pem").write_text(make_private_key(2048))
    key = f'dkim = {{ selector = "s1", key = "file:{tmp_path}/key.pem" }}\n'
    (tmp_path / "sites.toml").write_text(SITES + key)
    assert "d=studio.example; s=s1;" in previewed("studio", "welcome")["DKIM-Signature"]
    assert "name   s1._domainkey.studio.example\n" in run("dkim-record").output
    monkeypatch.delenv("FASTCORE_SITES_FILE")
    assert "no DKIM key is configured" in run("dkim-record").output


def test_a_key_that_is_none_stops_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_DKIM_SELECTOR", "fc1")
    assert "FASTCORE_DKIM_PRIVATE_KEY_FILE: set one of them" in run("dkim-record").output
    monkeypatch.setenv("FASTCORE_DKIM_PRIVATE_KEY", "secret-text")
    result = run("dkim-record")
    assert "wrong settings: FASTCORE_DKIM_PRIVATE_KEY: the value is not a private key" in result.output
    assert "secret-text" not in result.output


def test_the_server_keeps_a_returned_email_while_a_setting_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    result = CliRunner().invoke(app, ["bounce"], input=b"Subject: Undelivered")
    assert (result.exit_code, "KAFKA_BOOTSTRAP_SERVERS" in result.stderr) == (75, True)


async def test_a_message_that_is_no_report_causes_no_warning() -> None:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["bounce"], input=b"Subject: Hello")
    assert (result.exit_code, result.stderr) == (0, "no report: 0\n")
