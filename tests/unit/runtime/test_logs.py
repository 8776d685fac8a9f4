"""Logs are JSON; they name an error's type and never contain its text."""

import json
import logging
from contextvars import copy_context

import pytest

from runtime.current_service import set_current_service
from runtime.logs import configure, logger


def test_exception_is_logged_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("test", "INFO")
    try:
        raise ValueError("Failing row contains (bob@example.com)")
    except ValueError:
        logger("store").error("failed", exc_info=True)
        logging.getLogger("library").exception("failed too")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["error"] for line in lines] == ["builtins.ValueError"] * 2
    assert all(line["service"] == "test" for line in lines)
    assert all("test_logs.py" in line["where"][-1] for line in lines)
    assert "bob@" not in str(lines)


def test_regression_uvicorns_message_is_logged_without_colors(capsys: pytest.CaptureFixture[str]) -> None:
    configure("test", "INFO")
    colored = "Uvicorn running on \x1b[1m%s\x1b[0m"
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "x", extra={"color_message": colored})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "Uvicorn running on x"
    assert "[1m" not in line


def test_services_of_one_process_log_their_own_names(capsys: pytest.CaptureFixture[str]) -> None:
    def start(service: str) -> None:
        set_current_service(service)
        configure(service, "INFO")

    contexts = {name: copy_context() for name in ("ingest", "admin")}
    for name, context in contexts.items():
        context.run(start, name)
    for context in contexts.values():
        context.run(logger("start").info, "ready")
    logger("publisher").info("of no single service")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["service"] for line in lines] == ["ingest", "admin", "fastcore"]
