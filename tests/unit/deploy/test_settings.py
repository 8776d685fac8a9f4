"""The migration's settings: two roles, unless DEBUG=true allows one."""

import pytest
from pydantic import ValidationError

from deploy.settings import DoctorSettings, MigrationSettings
from runtime.settings import load

URL = "postgresql://fastcore:secret@127.0.0.1/fastcore"


def test_regression_debug_in_the_environment_is_read_by_the_migration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A section in a field named `debug` was itself read from the variable DEBUG, and `make up` failed.
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DEBUG", "true")
    assert load(MigrationSettings).debug


def test_without_debug_a_missing_owner_stops_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DEBUG", "false")
    monkeypatch.delenv("FASTCORE_MIGRATION_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit, match="FASTCORE_MIGRATION_DATABASE_URL is missing"):
        load(MigrationSettings)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", ()),
        ("192.0.2.53", (("192.0.2.53", 53),)),
        ("127.0.0.1:5353, ::1", (("127.0.0.1", 5353), ("::1", 53))),
        ("[2001:db8::53]:5353,[::1]", (("2001:db8::53", 5353), ("::1", 53))),
    ],
)
def test_name_servers_of_the_doctor_may_have_ports(text: str, addresses: tuple[tuple[str, int], ...]) -> None:
    assert DoctorSettings(nameservers=text).nameserver_addresses == addresses


@pytest.mark.parametrize("text", ["dns.example.com", "192.0.2.53:dns", ",", "[::1"])
def test_a_name_server_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="must be addresses such as"):
        DoctorSettings(nameservers=text)


def test_selectors_of_the_doctor_are_separated_by_commas() -> None:
    assert DoctorSettings(dkim_selectors="s1, s2,").selectors == ("s1", "s2")
