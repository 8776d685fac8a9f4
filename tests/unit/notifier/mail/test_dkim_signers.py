"""Which key signs a mail, by its sender, and what happens if a key is unusable or a mail cannot be signed."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.health import Health
from runtime.metrics import MAILS_UNSIGNED
from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.model import Sites
from services.notifier.mail.dkim_key import make_private_key
from services.notifier.mail.dkim_signature import DkimSigner
from services.notifier.mail.dkim_signers import DkimKeyError, DkimSigners
from services.notifier.mail.message import Mail
from services.notifier.settings import Settings

PEM, OTHER = make_private_key(2048), make_private_key(2048)
VARIABLES = {"KEY": PEM, "OTHER": OTHER, "BROKEN": "secret-text"}
CONTENT = b"From: hello@nord.studio\r\nSubject: x\r\n\r\nHello\r\n"


def settings(**dkim: Any) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "postgres": {"url": "postgresql://x@127.0.0.1/x"},
            "smtp": {"host": "127.0.0.1"},
            "dkim": dkim,
            "from_email": "leads@agency.studio",
            "admin_email": "team@agency.studio",
        }
    )


def signers(sites: str = "", **dkim: Any) -> DkimSigners:
    parsed = parse_sites(sites.encode()) if sites else Sites()
    return DkimSigners(settings(**dkim), parsed, VARIABLES)


def site(name: str, sender: str, selector: str = "s1", key: str = "env:KEY", more: str = "") -> str:
    return f"""
[sites.{name}]
from = "{sender}"
dkim = {{ selector = "{selector}", key = "{key}"{more} }}
"""


def record_of(found: DkimSigner | None) -> str | None:
    return found.record_name if found else None


def test_the_key_of_the_installation_signs_its_domain_and_subdomains() -> None:
    default = signers(selector="FC1", private_key=PEM)
    assert record_of(default.of("leads@agency.studio")) == "fc1._domainkey.agency.studio"
    assert record_of(default.of("x@mail.agency.studio")) == "fc1._domainkey.agency.studio"
    assert default.of("x@otheragency.studio") is None
    assert record_of(signers(selector="a", domain="studio", private_key=PEM).of("x@b.studio")) == (
        "a._domainkey.studio"
    )


def test_the_key_of_a_site_goes_first() -> None:
    both = signers(
        site("nord", "Nord <hello@nord.studio>")
        + site("sud", "hello@mail.sud.studio", "s2", "env:OTHER", ', domain = "sud.studio"')
        + "[sites.plain]\n",
        selector="fc1",
        private_key=PEM,
    )
    assert record_of(both.of("hello@nord.studio")) == "s1._domainkey.nord.studio"
    assert record_of(both.of("hello@mail.sud.studio")) == "s2._domainkey.sud.studio"
    assert record_of(both.of("leads@agency.studio")) == "fc1._domainkey.agency.studio"
    assert [each.selector for each in both.all] == ["fc1", "s1", "s2"]


def test_a_site_without_a_sender_signs_mails_from_the_default_sender() -> None:
    found = signers('[sites.nord]\ndkim = { selector = "s1", key = "env:KEY" }')
    assert record_of(found.of("leads@agency.studio")) == "s1._domainkey.agency.studio"


def test_a_key_in_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PEM)
    assert signers(selector="fc1", private_key_file=file).default is not None
    assert signers(site("nord", "a@nord.studio", key=f"file:{file}")).of("a@nord.studio") is not None


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (site("n", "a@nord.studio", key="env:ABSENT"), "sites.n.dkim.key: the variable ABSENT is not set"),
        (site("n", "a@nord.studio", key="file:/absent"), "sites.n.dkim.key: the file /absent cannot be read"),
        (site("n", "a@nord.studio", key="env:BROKEN"), "sites.n.dkim.key: the value is not a private key"),
        (
            site("n", "a@nord.studio", more=', domain = "sud.studio"'),
            "sites.n.dkim.domain: must be the domain of the sender, nord.studio, or one above it",
        ),
        (
            site("n", "a@nord.studio") + site("m", "a@nord.studio", "s2"),
            "sites.m.dkim: the site n has the same sender, but another key",
        ),
    ],
)
def test_an_unusable_key_of_a_site_stops_the_start(sites: str, message: str) -> None:
    with pytest.raises(SitesFileError) as caught:
        signers(sites)
    assert str(caught.value).startswith(message)
    assert "secret-text" not in str(caught.value)


@pytest.mark.parametrize(
    ("dkim", "message"),
    [
        ({"private_key": "secret-text"}, "FASTCORE_DKIM_PRIVATE_KEY: the value is not a private key"),
        ({"private_key_file": "/absent"}, "FASTCORE_DKIM_PRIVATE_KEY_FILE: /absent cannot be read"),
        ({"private_key_file": "/dev/null"}, "FASTCORE_DKIM_PRIVATE_KEY_FILE: the value is not a private"),
    ],
)
def test_an_unusable_key_of_the_installation_stops_the_start(dkim: dict[str, str], message: str) -> None:
    with pytest.raises(DkimKeyError) as caught:
        signers(selector="fc1", **dkim)
    assert str(caught.value).startswith(message)


async def test_a_new_version_of_the_sites_file_brings_new_keys() -> None:
    found = signers(site("nord", "a@nord.studio"))
    new = await found.read(parse_sites(site("nord", "a@nord.studio", "s2", "env:OTHER").encode()))
    assert record_of(found.of("a@nord.studio")) == "s1._domainkey.nord.studio"
    found.by_sender = new
    assert record_of(found.of("a@nord.studio")) == "s2._domainkey.nord.studio"
    with pytest.raises(SitesFileError):
        await found.read(parse_sites(site("nord", "a@nord.studio", key="env:ABSENT").encode()))


async def test_a_file_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "key")
    monkeypatch.setattr("services.notifier.mail.dkim_signers.READ_SECONDS", 0.2)
    with pytest.raises(SitesFileError, match="do not answer"):
        await signers().read(parse_sites(site("n", "a@nord.studio", key=f"file:{tmp_path / 'key'}").encode()))
    with open(tmp_path / "key", "wb"):  # noqa: ASYNC230, PTH123 - lets the thread end
        await asyncio.sleep(0)


def test_a_mail_is_signed_or_left_as_it_is() -> None:
    found, health = signers(site("nord", "a@nord.studio")), Health()
    mail = Mail("a@nord.studio", ("b@sud.studio",), CONTENT, smtputf8=False)
    signed = found.sign(mail, health)
    assert signed.content.endswith(CONTENT)
    assert signed.content.startswith(b"DKIM-Signature: ")
    other = Mail("a@sud.studio", ("b@sud.studio",), CONTENT, smtputf8=False)
    assert found.sign(other, health) is other


def test_a_mail_that_cannot_be_signed_is_sent_unsigned_with_a_warning() -> None:
    found, health = signers(site("nord", "a@nord.studio")), Health()
    before = MAILS_UNSIGNED._value.get()
    broken = Mail("a@nord.studio", ("b@sud.studio",), b"no body", smtputf8=False)
    assert found.sign(broken, health) is broken
    part = health.parts["dkim"]
    assert (part.ok, part.reason) == (True, "warning: mails of nord.studio are sent without a signature")
    assert MAILS_UNSIGNED._value.get() == before + 1
    found.sign(Mail("a@nord.studio", ("b@sud.studio",), CONTENT, smtputf8=False), health)
    assert health.parts["dkim"].reason == ""
