"""The domains that the doctor checks: those of all sites' senders."""

from pathlib import Path
from typing import Any

import dns.resolver
import pytest

from deploy.cli.doctor.check_result import CheckResult
from deploy.cli.doctor.deliverability import check_deliverability
from deploy.settings import DoctorSettings
from runtime.sites.file import load_sites
from services.notifier.mail.dkim_key import make_private_key
from services.notifier.settings import Settings
from tests.support.mail.dns_server import DnsServer

SITES = """
[sites.nord]
from = "hello@nord.studio"
[sites.north]
from = "Nord <hi@NORD.studio>"
[sites.plain]
"""


async def check(tmp_path: Path, **doctor: Any) -> list[CheckResult]:
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "127.0.0.1:1"},
            "postgres": {"url": "postgresql://x@127.0.0.1/x"},
            "smtp": {"host": "127.0.0.1"},
            "sites_file": {"path": file},
            "from_email": "leads@fastcore.example",
            "admin_email": "team@nord.studio",
        }
    )
    configured = DoctorSettings.model_validate(doctor)
    return [each async for each in check_deliverability(settings, load_sites(file), configured, debug=False)]


async def test_each_domain_is_checked_once_for_all_its_sites(zone: DnsServer, tmp_path: Path) -> None:
    zone.txt("nord.studio", "v=spf1 -all")
    results = await check(tmp_path, nameservers=zone.address)
    seen = [(each.check, each.level, each.seen.split(":")[0]) for each in results]
    assert seen == [
        ("mail-format", "ok", "nord"),
        ("mail-format", "ok", "north"),
        ("mail-format", "ok", "plain"),
        ("sender-dns", "fail", "fastcore.example does not exist"),
        ("spf", "ok", "nord.studio"),
        ("dkim", "warn", "nord.studio"),
        ("dmarc", "warn", "nord.studio"),
    ]


async def test_a_machine_without_dns_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "resolv.conf"
    empty.write_text("")
    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", _no_name_server)
    results = await check(tmp_path)
    assert [(each.level, each.seen) for each in results if each.check == "sender-dns"] == [
        ("warn", "fastcore.example is a private name: SPF, DKIM and DMARC not checked"),
        ("warn", "nord.studio not checked: this machine: no name server"),
    ]


def _no_name_server(*_: object) -> None:
    raise dns.resolver.NoResolverConfiguration


async def test_the_key_of_a_site_is_checked_too(
    zone: DnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone.txt("nord.studio", "v=spf1 -all")
    monkeypatch.setenv("KEY", make_private_key(2048))
    dkim = '[sites.nord]\ndkim = { selector = "s1", key = "env:KEY" }\n'
    monkeypatch.setattr(__name__ + ".SITES", SITES.replace("[sites.nord]\n", dkim))
    results = await check(tmp_path, nameservers=zone.address)
    assert [each.seen for each in results if each.check == "dkim"] == [
        "s1._domainkey.nord.studio: the key with which we sign is not published"
    ]
    monkeypatch.setenv("KEY", "secret-text")
    (result,) = [each for each in await check(tmp_path, nameservers=zone.address) if each.check == "dkim"]
    assert result.seen.startswith("sites.nord.dkim.key: the value is not a private key")
    assert "secret-text" not in result.seen
