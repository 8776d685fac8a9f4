"""Encodes text for headers as encoded words (RFC 2047). No I/O."""

import re
from base64 import b64encode
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Final

# RFC 2047 limits an encoded word to 75 characters. 45 bytes are 60 in Base64, and 12 belong to its frame.
_WORD_MAX: Final = 75
_WORD_BYTES: Final = 45
_FRAME: Final = 12
# Bytes that the encoding Q leaves as they are.
_SAFE: Final = frozenset(f"{ascii_letters}{digits}-!*+/".encode())
# An ASCII word that a program would decode is encoded too.
_NEEDS_ENCODING: Final = re.compile(r"[^\x00-\x7f]|=\?")


def encode_phrase(text: str) -> list[str]:
    """Return the text as encoded words in Base64. A program that decodes them joins them without blanks."""
    return [f"=?utf-8?b?{b64encode(piece).decode()}?=" for piece in _pieces(text)]


def encode_unstructured(text: str) -> str:
    """Return the value of a header such as Subject, with the words encoded that are not ASCII.

    What is between two such words is encoded too. If there are several encoded words, each begins a line.
    """
    words = text.split(" ")
    encoded = [number for number, word in enumerate(words) if _NEEDS_ENCODING.search(word)]
    if not encoded:
        return text
    first, after = encoded[0], encoded[-1] + 1
    return " ".join([*words[:first], _encode(" ".join(words[first:after])), *words[after:]])


def _encode(text: str) -> str:
    """Return the text in one encoded word, in the shorter encoding, or in several ones."""
    data = text.encode(errors="replace")
    quoted = "".join("_" if byte == 32 else chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in data)
    length = (len(data) + 2) // 3 * 4
    # Q is readable, so it is used unless it is much longer.
    if len(quoted) - length < 5 and len(quoted) + _FRAME <= _WORD_MAX:
        return f"=?utf-8?q?{quoted}?="
    return "\r\n ".join(encode_phrase(text))


def _pieces(text: str) -> Iterator[bytes]:
    """Split a text into pieces for encoded words. No piece ends within a character."""
    piece = b""
    for char in text:
        encoded = char.encode(errors="replace")
        if len(piece) + len(encoded) > _WORD_BYTES:
            yield piece
            piece = b""
        piece += encoded
    yield piece
