"""Which hosts a request may be for."""

import pytest

from runtime.http.allowed_hosts import AllowedHosts
from services.flusher.settings import is_exposed


def allows(listed: str, host: str, *, debug: bool = False) -> bool:
    return AllowedHosts(listed, debug=debug).allows([(b"accept", b"*/*"), (b"host", host.encode())])


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1", "localhost:8000", ""])
def test_every_host_is_allowed_without_a_list(host: str) -> None:
    assert allows("", host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "admin.localhost", "127.0.0.1:8005", "10.2.3.4", "[::1]:8000",
     "[fe80::1]", "ingest:8001", "fastcore-admin", "host.docker.internal:8000", ""],
)  # fmt: skip
@pytest.mark.parametrize(("listed", "debug"), [("", True), ("leads.example.com", False)])
def test_private_hosts_are_always_allowed(host: str, listed: str, debug: bool) -> None:
    assert allows(listed, host, debug=debug)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "evil.example.", "a.b",
     "xlocalhost.evil", "1.2.3.4.5", "[::1]evil.example", "notleads.example.com"],
)  # fmt: skip
@pytest.mark.parametrize(("listed", "debug"), [("", True), ("leads.example.com,*.own.example", False)])
def test_foreign_hosts_are_not_allowed(host: str, listed: str, debug: bool) -> None:
    # Brackets contain an address; the text after them is ignored.
    assert allows(listed, host, debug=debug) == host.startswith("[::1]")


@pytest.mark.parametrize(
    "host", ["ingest.leads.svc:8001", "ingest.leads.svc.cluster.local:8001", "leads.local", "a.internal"]
)
def test_regression_hosts_that_the_flusher_calls_private_are_allowed(host: str) -> None:
    assert not is_exposed(f"http://{host}/")
    assert allows("leads.example.com", host)


@pytest.mark.parametrize(
    "host", ["leads.example.com", "Leads.Example.com.:443", "a.own.example", "b.a.own.example"]
)
@pytest.mark.parametrize("debug", [True, False])
def test_listed_hosts_are_allowed(host: str, debug: bool) -> None:
    assert allows(" leads.example.com, *.own.example ", host, debug=debug)
