"""What several services of one process share."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import metrics
from runtime.service_metrics import separate_services
from services import one_process


@pytest.fixture
def _restored() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    separate_services([], vars(metrics).values())


@pytest.mark.usefixtures("_restored")
def test_a_thread_gives_the_interpreter_back_early(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(one_process, "serve_all", lambda services, _: served.extend(services))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("DATABASE_URL", "postgresql://fastcore@127.0.0.1:9/fastcore")
    monkeypatch.setenv("FASTCORE_HTTP_PORT", "")
    monkeypatch.setenv("FASTCORE_HTTP_PORTS", "")
    one_process.run_services(["persister", "admin"])
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert [service.name for service in served] == ["persister", "admin"]
