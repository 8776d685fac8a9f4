"""Writes files and restricts folders for secrets and personal data. Only the owner can read them."""

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write `text` to the file `path` atomically, with mode 0600."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.rename(path)


def restrict(folder: Path) -> None:
    """Create the folder if it does not exist, and remove all access of other users.

    Raises `PermissionError` if this user may not remove that access.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
