"""The settings of the embedded stack."""

import pytest

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.settings import load


def test_a_wrong_port_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCORE_EMBEDDED_EDGE_PORT", "80x")
    with pytest.raises(EmbeddedError, match="FASTCORE_EMBEDDED_EDGE_PORT"):
        load()
