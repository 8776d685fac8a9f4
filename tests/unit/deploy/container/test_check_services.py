"""What `helm test` runs: every service must answer /readyz with 200."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from typer.testing import CliRunner

from deploy.container import check_services
from deploy.embedded.servers.standalone import free_ports
from runtime.health import Health


def report(**reasons: str) -> bytes:
    """Return what /readyz says if the parts with a reason are red."""
    health = Health()
    health.set("kafka", ok="kafka" not in reasons, reason=reasons.get("kafka", ""))
    health.set("database", ok="database" not in reasons, reason=reasons.get("database", ""))
    return json.dumps(health.report()).encode()


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """Serve /readyz: each answer once, then the last one."""
    remaining = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.send_response(status if self.path == "/readyz" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_service_that_is_not_ready_is_named_with_its_reason() -> None:
    with answering((200, report())) as good, answering((503, report(database="does not answer"))) as bad:
        app = typer.Typer()
        app.command()(check_services.main)
        result = CliRunner().invoke(app, [f"ingest={good}", f"persister={bad}", "--wait-seconds", "0"])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "ingest is ready",
        "persister is not ready: database: does not answer",
    ]


def test_a_service_may_become_ready_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_services, "RETRY_SECONDS", 0.01)
    with answering((503, report(kafka="no broker")), (503, b"not JSON"), (200, report())) as url:
        assert check_services.check({"ingest": url}, 30) == {}


def test_a_service_that_does_not_listen_is_no_answer() -> None:
    [port] = free_ports(1)
    problems = check_services.check({"ingest": f"http://127.0.0.1:{port}"}, 0)
    assert problems["ingest"].startswith("no answer: ")


def test_an_answer_that_is_no_report_is_named_by_its_status() -> None:
    with answering((502, b"<html>")) as url:
        assert check_services.check({"ingest": url}, 0) == {"ingest": "HTTP 502"}
