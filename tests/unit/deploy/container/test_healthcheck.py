"""The image's health check: every listening port must answer 200, and at least one must listen."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.container import healthcheck
from deploy.embedded.servers.standalone import free_ports


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_port_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTCORE_HTTP_PORT", raising=False)
    monkeypatch.delenv("FASTCORE_HTTP_PORTS", raising=False)


def test_one_healthy_port_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as port:
        monkeypatch.setattr(healthcheck, "PORTS", (*free_ports(2), port))
        healthcheck.main()


def test_without_a_listening_port_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "PORTS", free_ports(2))
    with pytest.raises(SystemExit, match="nothing listens"):
        healthcheck.main()


def test_an_unhealthy_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as well, answering(503) as ill:
        monkeypatch.setattr(healthcheck, "PORTS", (well, ill))
        with pytest.raises(SystemExit, match=f"/livez: 503 on port {ill}"):
            healthcheck.main()


def test_a_configured_port_is_the_only_one_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as well, answering(503) as ill:
        monkeypatch.setattr(healthcheck, "PORTS", (well,))
        monkeypatch.setenv("FASTCORE_HTTP_PORT", str(ill))
        with pytest.raises(SystemExit, match="503"):
            healthcheck.main()


def test_ports_of_single_services_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "PORTS", free_ports(1))
    with answering(200) as well, answering(503) as ill:
        monkeypatch.setenv("FASTCORE_HTTP_PORTS", f"ingest={well}, admin={ill}")
        with pytest.raises(SystemExit, match=f"503 on port {ill}"):
            healthcheck.main()


def test_named_ports_are_the_only_ones_checked() -> None:
    with answering(200) as well, answering(503):
        healthcheck.main("/livez", str(well))


def test_an_argument_changes_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as port:
        monkeypatch.setattr(healthcheck, "PORTS", (port,))
        with pytest.raises(SystemExit, match="/readyz: 503"):
            healthcheck.main("/readyz")
