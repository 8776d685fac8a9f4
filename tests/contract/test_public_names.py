"""Public names are unchanged: routes, fields, topics, settings, metrics, events and columns."""

import json
from typing import Any

import pytest

from tests.contract.public_names import PINNED, public_names, tables

PROMISED: dict[str, list[str]] = json.loads(PINNED.read_text(encoding="utf-8"))
HINT = (
    "a public name changed. Where that is intended: python -m tests.contract.public_names, and the CHANGELOG"
)


@pytest.mark.parametrize("kind", [kind for kind in PROMISED if kind != "columns"])
def test_public_names_are_those_that_were_promised(kind: str) -> None:
    assert public_names()[kind] == PROMISED[kind], HINT


async def test_tables_and_columns_are_those_that_were_promised(db: Any) -> None:
    assert await tables(db) == PROMISED["columns"], HINT
