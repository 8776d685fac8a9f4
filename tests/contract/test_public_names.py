"""Public names are unchanged: routes, fields, topics, settings, metrics, events and columns."""

import json
from typing import Any

import pytest

from contracts.event_bodies import event_schema
from tests.contract.public_names import PINNED, event_fields, public_names, tables

PROMISED: dict[str, list[str]] = json.loads(PINNED.read_text(encoding="utf-8"))
HINT = (
    "a public name changed. Where that is intended: python -m tests.contract.public_names, and the CHANGELOG"
)


@pytest.mark.parametrize("kind", [kind for kind in PROMISED if kind != "columns"])
def test_public_names_are_those_that_were_promised(kind: str) -> None:
    assert public_names()[kind] == PROMISED[kind], HINT


@pytest.mark.parametrize("change", ["removed", "renamed", "of another type", "optional"])
def test_a_field_of_an_event_is_missed_if_it_changes(change: str) -> None:
    schema = event_schema()
    lead = schema["$defs"]["LeadData"]
    phone = lead["properties"].pop("phone")
    lead["required"].remove("phone")
    if change == "renamed":
        lead["properties"]["telephone"] = phone
        lead["required"].append("telephone")
    elif change == "of another type":
        lead["properties"]["phone"] = {"type": "integer"}
        lead["required"].append("phone")
    elif change == "optional":
        lead["properties"]["phone"] = phone
    missed = set(PROMISED["event fields"]) - event_fields(schema)
    assert missed == {"lead.received: data.phone null or string", "lead.test: data.phone null or string"}


async def test_tables_and_columns_are_those_that_were_promised(db: Any) -> None:
    assert await tables(db) == PROMISED["columns"], HINT
