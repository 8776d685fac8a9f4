"""Files with secrets: whole or not at all, and readable to their owner only."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write the file aside and rename it."""
    aside = path.with_name(f".{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    aside.rename(path)
