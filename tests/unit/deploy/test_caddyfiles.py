"""Both edges limit what a client may send, and log no personal data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
VARIABLES = {
    "FASTCORE_SITES": "http://:8000",
    "FASTCORE_DOMAIN": "domain.invalid",
    "FASTCORE_EDGE_HOST": "127.0.0.1",
    "FASTCORE_EDGE_PORT": "8000",
    "FASTCORE_EDGE_ADMIN": "127.0.0.1:8005",
    "FASTCORE_EDGE_INGEST": "127.0.0.1:8001",
}
SECOND = 1_000_000_000
CADDYFILES = ("deploy/compose/Caddyfile", "deploy/embedded/servers/Caddyfile")


@pytest.fixture(params=CADDYFILES)
def edge(request: pytest.FixtureRequest) -> Any:
    caddy = Path(sys.executable).with_name("caddy")
    done = subprocess.run(
        [caddy, "adapt", "--config", ROOT / request.param, "--adapter", "caddyfile"],
        env=os.environ | VARIABLES,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return json.loads(done.stdout)


def test_regression_edge_logs_contain_no_urls_headers_or_addresses(edge: Any) -> None:
    for name, logger in edge["logging"]["logs"].items():
        assert logger["level"] == "ERROR", name
        fields = logger["encoder"]["fields"]
        assert {"request>uri", "request>headers", "request>remote_ip", "request>client_ip"} <= set(fields)
        assert {each["filter"] for each in fields.values()} == {"delete"}
    assert "default" in edge["logging"]["logs"]


def test_both_edges_have_the_same_error_page() -> None:
    """Compose mounts its Caddyfile as a single file, so the page is in both files."""
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in CADDYFILES]
    for start, end in (
        ("map {err.status_code} {title}", "\n\t\t}\n"),
        ('map "{method} {err.status_code}" {again}', "\n\t\t}\n"),
        ("respond <<HTML", "HTML {err"),
    ):
        parts = {text.partition(start)[2].partition(end)[0] for text in texts}
        assert len(parts) == 1
        assert len(parts.pop()) > 60


def test_regression_a_head_and_a_body_have_a_bounded_time_to_arrive(edge: Any) -> None:
    for server in edge["apps"]["http"]["servers"].values():
        assert server["read_header_timeout"] <= 10 * SECOND
        assert server["read_timeout"] <= 15 * SECOND
        assert server["max_header_bytes"] <= 64 * 1024
