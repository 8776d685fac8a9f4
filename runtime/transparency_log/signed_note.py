"""Signed notes (C2SP signed-note): a text and the Ed25519 signatures of its text, each by a named key.

Keys are written as golang.org/x/mod/sumdb/note writes them: `NAME+ID+KEY` and `PRIVATE+KEY+NAME+ID+KEY`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# The only signature type here. Signatures of other types are ignored, as the format requires.
ED25519: Final = b"\x01"
_PRIVATE_PREFIX: Final = "PRIVATE+KEY+"
_SIGNATURE_LINE: Final = re.compile(r"— (\S+) (\S+)\n")
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
# The format requires at least 16. A note with more is refused before anything is computed for it.
SIGNATURES_MAX: Final = 100


class NoteError(ValueError):
    """The note is malformed, or no known key has signed it."""


class KeyFormatError(ValueError):
    """The text is not a key."""


def _key_id(name: str, public_key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:_ID_BYTES]


@dataclass(frozen=True)
class VerificationKey:
    """A public key with its name."""

    name: str
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> "VerificationKey":
        """Read `NAME+ID+KEY`. Raises `KeyFormatError`."""
        name, public_key = _split_key(text)
        key = cls(name, public_key)
        if text != str(key):
            raise KeyFormatError("the key's id does not match its name and value")
        return key

    @property
    def id(self) -> bytes:
        """The first four bytes of the hash of the name and the key."""
        return _key_id(self.name, self.public_key)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(ED25519 + self.public_key)}"

    def is_signature(self, signature: bytes, text: str) -> bool:
        """Return True if this key made the signature of the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key with its name. The repr omits the key."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> "SigningKey":
        """Return a new key. Raises `KeyFormatError` if a key cannot have this name."""
        _check_name(name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Read `PRIVATE+KEY+NAME+ID+KEY`. Raises `KeyFormatError`, whose text does not quote the key."""
        if not text.startswith(_PRIVATE_PREFIX):
            raise KeyFormatError(f"a signing key begins with {_PRIVATE_PREFIX}")
        name, seed = _split_key(text.removeprefix(_PRIVATE_PREFIX))
        key = cls(name, seed)
        if text != key.text():
            raise KeyFormatError("the key's id does not match its name and value")
        return key

    def text(self) -> str:
        """Return the key as text: a secret."""
        public = self.verification_key()
        return f"{_PRIVATE_PREFIX}{self.name}+{public.id.hex()}+{_encode(ED25519 + self.seed)}"

    def verification_key(self) -> VerificationKey:
        """Return the public key."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerificationKey(self.name, public.public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """Return the signature of the text."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())


def sign_note(text: str, keys: Iterable[SigningKey]) -> str:
    """Return the text as a note that each key has signed. Raises `NoteError` for control characters."""
    _check_text(text)
    lines = (f"— {key.name} {_encode(key.verification_key().id + key.sign(text))}\n" for key in keys)
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, keys: Sequence[VerificationKey]) -> str:
    """Return the text of a note that one of the keys has signed.

    Signatures of unknown keys are ignored. Raises `NoteError` if the note is malformed, if no known key has
    signed it, or if the signature of a known key is wrong.
    """
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = _SIGNATURE_LINE.findall(signatures)
    if not separator or not 0 < len(lines) <= SIGNATURES_MAX:
        raise NoteError("malformed note")
    if "".join(f"— {name} {value}\n" for name, value in lines) != signatures:
        raise NoteError("malformed note")
    _check_text(text)
    known, is_signed = {(key.name, key.id): key for key in keys}, False
    for name, value in lines:
        signature = _decode(value, NoteError("malformed note"))
        if not _is_name(name) or len(signature) <= _ID_BYTES:
            raise NoteError("malformed note")
        key = known.get((name, signature[:_ID_BYTES]))
        if key is None:
            continue
        if not key.is_signature(signature[_ID_BYTES:], text):
            raise NoteError(f"the signature of the key {name}+{key.id.hex()} is wrong")
        is_signed = True
    if not is_signed:
        raise NoteError("no known key has signed the note")
    return text


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(char < " " and char != "\n" for char in text):
        raise NoteError("malformed note")


def _split_key(text: str) -> tuple[str, bytes]:
    """Return the name and the 32 bytes of `NAME+ID+KEY`. The base64 of a key may contain `+` itself."""
    error = KeyFormatError("a key is NAME+ID+KEY, for the algorithm Ed25519")
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise error
    data = _decode(parts[2], error)
    if data[:1] != ED25519 or len(data) != 1 + _KEY_BYTES:
        raise error
    _check_name(parts[0])
    return parts[0], data[1:]


def _check_name(name: str) -> None:
    if not _is_name(name):
        raise KeyFormatError("a key's name has no space and no +")


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not re.search(r"[\s\x00-\x1f]", name)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, error: ValueError) -> bytes:
    """Return the bytes of standard base64, refusing every other spelling of them. Raises `error`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise error from None
    if _encode(data) != text:
        raise error
    return data
