"""Checkpoints (C2SP tlog-checkpoint): signed notes that commit a log to the size and the root of its tree."""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.transparency_log.merkle_tree import HASH_BYTES
from runtime.transparency_log.signed_note import NoteError, SigningKey, VerificationKey, open_note, sign_note

_TEXT: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*")


@dataclass(frozen=True)
class Checkpoint:
    """The log's name, the number of its leaves, and the root of the tree over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, keys: Iterable[SigningKey]) -> str:
        """Return the checkpoint as a note that each of the keys has signed."""
        return sign_note(self.text(), keys)


def open_checkpoint(note: str, keys: Sequence[VerificationKey]) -> Checkpoint:
    """Return the checkpoint of a note that one of the keys has signed.

    A key's name is the origin of its log: the key of one log does not vouch for another. Raises `NoteError`
    if the note is not a checkpoint, or is not signed by one of these keys.
    """
    origin = note.partition("\n")[0]
    return read_checkpoint(open_note(note, [key for key in keys if key.name == origin]))


def read_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint with this text, whose signature the caller has verified. Raises `NoteError`."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise NoteError("the note is not a checkpoint")
    try:
        root = base64.b64decode(found[3], validate=True)
    except binascii.Error:
        raise NoteError("the note is not a checkpoint") from None
    if len(root) != HASH_BYTES or base64.b64encode(root).decode() != found[3]:
        raise NoteError("the note is not a checkpoint")
    return Checkpoint(found[1], int(found[2]), root)
