"""The image's health check: what listens must answer, and something must listen."""

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
def _no_port_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTCORE_HTTP_PORT", raising=False)


def test_one_that_answers_among_ports_that_nobody_uses_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as port:
        monkeypatch.setattr(healthcheck, "PORTS", (*free_ports(2), port))
        healthcheck.main()


def test_nothing_that_listens_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "PORTS", free_ports(2))
    with pytest.raises(SystemExit, match="nothing listens"):
        healthcheck.main()


def test_one_of_several_that_is_not_ready_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as well, answering(503) as ill:
        monkeypatch.setattr(healthcheck, "PORTS", (well, ill))
        with pytest.raises(SystemExit, match=f"/livez: 503 on port {ill}"):
            healthcheck.main()


def test_a_given_port_is_the_only_one_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as well, answering(503) as ill:
        monkeypatch.setattr(healthcheck, "PORTS", (well,))
        monkeypatch.setenv("FASTCORE_HTTP_PORT", str(ill))
        with pytest.raises(SystemExit, match="503"):
            healthcheck.main()


def test_another_path_is_asked_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as port:
        monkeypatch.setattr(healthcheck, "PORTS", (port,))
        with pytest.raises(SystemExit, match="/readyz: 503"):
            healthcheck.main("/readyz")
