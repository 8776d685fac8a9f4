"""The size and the headers of the mails that a site would send."""

from pathlib import Path

import pytest

from deploy.cli.doctor.sample_mails import check_mail_bytes, check_sample_mails
from runtime.sites.file import load_sites
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity

DEFAULT = Identity("hello@nord.studio", "Nord", ("team@nord.studio",), "https://leads.nord.studio/admin")
GOOD = (
    b"Date: Mon, 30 Nov 2026 02:00:00 +0000\r\nFrom: hello@nord.studio\r\nTo: ada@sud.studio\r\n"
    b"Subject: x\r\n"
    b"Message-ID: <1.welcome@nord.studio>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: text/html; charset="utf-8"\r\n\r\n<p>Hello</p>\r\n'
)


def test_the_mails_of_a_site_are_measured() -> None:
    (result,) = check_sample_mails(Identities(DEFAULT), ["default"])
    assert (result.check, result.level) == ("mail-format", "ok")
    assert result.seen.startswith("default: welcome ")
    assert result.seen.endswith(" KiB, headers complete")


def test_a_template_of_a_site_may_make_a_mail_that_gmail_clips(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text('[sites.nord]\ntemplates = "t"\n[sites.sud]\n')
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "welcome.html").write_text(f"<p>{'long words ' * 10_000}</p>".replace(". ", ".\n"))
    sites = load_sites(tmp_path / "sites.toml")
    results = list(check_sample_mails(Identities(DEFAULT, sites, tmp_path), ["nord", "sud"]))
    assert [(each.level, each.seen.split(":")[0]) for each in results] == [("warn", "nord"), ("ok", "sud")]
    assert results[0].seen.endswith("KiB; Gmail clips it at 102")


def test_a_good_mail_has_no_problem() -> None:
    assert list(check_mail_bytes("x", GOOD, "hello@nord.studio")) == []


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ((b"Date: ", b"X-Date: "), "x: not exactly one of: Date"),
        ((b"To: ada", b"From: b@nord.studio\r\nTo: ada"), "x: not exactly one of: From"),
        ((b"Auto-Submitted", b"X-Auto"), "x: not exactly one of: Auto-Submitted"),
        ((b"@nord.studio>", b"@mail.internal>"), "x: the Message-ID is of another domain"),
        ((b"Hello", b"a" * 1000), "x: a line has 1007 bytes, more than 998"),
    ],
)
def test_a_mail_that_servers_refuse_says_why(change: tuple[bytes, bytes], seen: str) -> None:
    (result,) = check_mail_bytes("x", GOOD.replace(*change), "hello@nord.studio")
    assert (result.level, result.seen) == ("fail", seen)
