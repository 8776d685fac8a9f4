"""A request by httpx does not search for a module that is not installed."""

import sys
from importlib.machinery import ModuleSpec
from typing import Any

import httpcore
import pytest

from runtime.workarounds.httpcore import remember_missing_module


class _Searches:
    """Records the modules that Python searches for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        self.names.append(name)
        return None


async def test_requests_search_for_no_missing_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sniffio", raising=False)
    remember_missing_module()
    searches = _Searches()
    monkeypatch.setattr(sys, "meta_path", [searches, *sys.meta_path])
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with httpcore.AsyncConnectionPool(network_backend=httpcore.AsyncMockBackend([response])) as pool:
        assert (await pool.request("GET", "http://localhost/")).status == 200
    assert "sniffio" not in searches.names


def test_an_installed_module_stays_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.workarounds.httpcore._MODULE", "json")
    remember_missing_module()
    assert sys.modules["json"] is not None
