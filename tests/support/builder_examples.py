"""The payloads of form builders in docs/form-builders, and the lead that each becomes."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from services.ingest.builders.payload import nest_brackets

FOLDER: Final = Path(__file__).parents[2] / "docs" / "form-builders"


class BuilderExample(NamedTuple):
    """A payload as the builder posts it, and the key and the body that are read from it."""

    file: Path
    headers: dict[str, str]
    key: str | None
    body: dict[str, Any]

    @property
    def content(self) -> bytes:
        """The bytes that `curl -d @FILE` posts."""
        return self.file.read_bytes().replace(b"\n", b"")

    @property
    def payload(self) -> dict[str, Any]:
        """The content, parsed."""
        return dict(nest_brackets(self.pairs)) if self.pairs else dict(json.loads(self.content))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The names and values of form data; an empty list for JSON."""
        return parse_qsl(self.content.decode()) if self.file.suffix == ".txt" else []


def _load() -> dict[str, BuilderExample]:
    expected = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    files = {path.stem: path for path in sorted(FOLDER.iterdir())}
    assert files.keys() == expected.keys()
    return {name: BuilderExample(path, **expected[name]) for name, path in files.items()}


EXAMPLES: Final = _load()
"""By the name of the file, without its suffix."""
