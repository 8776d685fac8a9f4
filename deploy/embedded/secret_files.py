"""Files and folders with secrets and personal data: readable to their owner only."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write the file aside and rename it."""
    aside = path.with_name(f".{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    aside.rename(path)


def restrict(folder: Path) -> None:
    """Make a folder, or one that exists, accessible to its owner only.

    Raises `PermissionError` where the folder belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
