import json
from pathlib import Path
from typing import Any

import pytest

from services.ingest.builders.adapters import adapter_of, submission_key
from services.ingest.builders.payload import nest_brackets
from services.ingest.forms.field_mapping import map_answers

EXAMPLES = sorted(Path(__file__).with_name("examples").glob("*.json"))


def _payload(example: dict[str, Any]) -> dict[str, Any]:
    return example.get("body") or nest_brackets((name, value) for name, value in example["form"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_payload_becomes_the_lead_that_the_visitor_sent(path: Path) -> None:
    example = json.loads(path.read_text())
    payload = _payload(example)
    adapter = adapter_of(payload)

    assert map_answers(adapter.read_answers(payload)) == example["expected"]["body"]
    assert submission_key(adapter, payload) == example["expected"]["key"]
