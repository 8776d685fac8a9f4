"""Formats a visitor's answer to a form field as text and links, for people to read. No I/O."""

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pydantic import JsonValue

_WEB: Final = ("http", "https")


def answer_parts(answer: JsonValue) -> Iterator[tuple[JsonValue, str]]:
    """Yield a pair (value, URL) for each value of an answer. Each element of a list is one value.

    - An object with a `url` is a file: the pair has the file's name or "", and the URL.
    - For a text that is a URL, the pair has "" and the URL.
    - For any other value, the pair has the value and "".

    Only `http` and `https` URLs count.
    """
    for each in answer if isinstance(answer, list) else [answer]:
        url = each.get("url") if isinstance(each, dict) else each
        if not isinstance(url, str) or not _is_web_url(url):
            yield each, ""
        else:
            name = each.get("name") if isinstance(each, dict) else ""
            yield name if isinstance(name, str) else "", url


def answer_text(answer: JsonValue) -> str:
    """Return an answer as text, such as `Web, SEO` or `plan.pdf (https://files.example/1)`."""
    return ", ".join(_part_text(value, url) for value, url in answer_parts(answer))


def _part_text(value: JsonValue, url: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"{text} ({url})" if text else url) if url else text


def _is_web_url(text: str) -> bool:
    if "//" not in text or not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
    except ValueError:  # such as an IPv6 address without its closing bracket
        return False
    return url.scheme in _WEB and bool(url.netloc)
