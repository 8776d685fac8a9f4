"""Hypothesis strategies for bodies: arbitrary bytes, any JSON, damaged JSON, forms and builders' payloads."""

import copy
import json
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.support.builder_examples import EXAMPLES

# Stands for what a visitor wrote. No error may repeat it, and no page may contain it unescaped.
MARKER: Final = "marker-5f3b9c<i>&'"
BOUNDARY: Final = b"boundary"
_ODD_CHARACTERS: Final = "\0\ud83d\u200c\u2028\v\u00a0\ufeff\r\n\"'<>%&=+;[]{}\\"

T = TypeVar("T")


def mostly(usual: st.SearchStrategy[T], *rare: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Return the usual values in 12 of about 13 draws. `st.one_of` gives each strategy the same share."""
    return st.sampled_from([usual] * (12 * len(rare)) + list(rare)).flatmap(lambda chosen: chosen)


TEXT: Final = (
    st.text(st.characters(), max_size=20)
    | st.text(st.sampled_from(_ODD_CHARACTERS), max_size=6)
    | st.sampled_from([MARKER, "", " ", "on", "false", "http://www.example.com", "ada@example.com"])
    | st.text(st.characters(), max_size=5).map(MARKER.__add__)
)
NUMBER: Final = st.integers() | st.floats() | st.sampled_from([10**400, -0.0, 1e308])
JSON: Final = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
EMAIL: Final = (
    st.sampled_from(
        ["ada@example.com", " ada@example.com\n", "ada@b\u00fccher.example", MARKER + "@example.com"]
    )
    | st.emails()
    | JSON
)
LENGTHS: Final = st.sampled_from([5_000, 9_999, 10_001, 65_537, 250_000, 262_144, 300_000])
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "email": EMAIL,
    "phone": st.sampled_from(["+49 30 1234567", 442079460000]) | JSON,
    "message": st.just("Please call me.") | JSON | LENGTHS.map("\u00e4".__mul__),
    "source": JSON
    | st.dictionaries(st.sampled_from(["utm_source", "gclid", "page_url"]) | TEXT, JSON, max_size=4),
    "meta": JSON
    | st.dictionaries(st.sampled_from(["ip", "honeypot", "form_rendered_at"]) | TEXT, JSON, max_size=4),
    **dict.fromkeys(
        ("name", "company", "service", "consent", "submitted_at", "locale", "request_id", "extra"), JSON
    ),
}
# Most are a lead as they are, so that many requests are accepted.
_COMPLETE: Final[tuple[dict[str, Any], ...]] = (
    {"email": "ada@example.com", "message": "Please call me."},
    {"phone": "+49 30 1234567", "message": "Please call me."},
    {"email": "ada@example.com", "name": "Ada", "budget": "5000"},
    {},
)


@st.composite
def lead(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a lead. Up to four known fields, and two unknown ones, have any value."""
    fields = dict(draw(st.sampled_from(_COMPLETE)))
    for name in draw(st.lists(st.sampled_from(list(FIELDS)), max_size=4)):
        fields[name] = draw(FIELDS[name])
    return fields | draw(st.dictionaries(TEXT, JSON | LENGTHS.map("x".__mul__), max_size=2))


# What a parser that recurses, or that reads a long number, may not survive.
HOSTILE: Final = st.sampled_from(
    [
        b"[" * 100_000,
        b'{"message":' * 3000 + b"1" + b"}" * 3000,
        b'{"email":"ada@example.com","message":' + b"9" * 5000 + b"}",
        b'{"email":"ada@example.com","email":"bob@example.com","message":"twice"}',
        b'\xef\xbb\xbf{"email":"ada@example.com","message":"a byte order mark"}',
        '{"email":"ada@example.com","message":"UTF-16"}'.encode("utf-16"),
        b'{"email":"ada@example.com","message":"\\ud83d"}',
        b'{"email":"ada@example.com","message":"\\u0000"}',
        b'{"email":"ada@example.com","message":"raw \x00 \x1f"}',
    ]
)


def _encode_json(value: Any, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Draw a body in which up to three parts are replaced by other bytes, or cut out."""
    body = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 8)))
        body = body[:start] + draw(st.binary(max_size=6)) + body[end:]
    return body


JSON_BODY: Final = st.builds(_encode_json, mostly(lead(), JSON), ascii_only=st.booleans())
BYTES: Final = st.binary(max_size=300) | HOSTILE | damaged(JSON_BODY)

# The names of fields in forms, and names that a form's parser reads in a way of its own.
NAMES: Final = (
    st.sampled_from(
        ["name", "email", "your-email", "E-Mail", "message", "Nachricht", "phone", "consent", "_next", "_key"]
    )
    | st.sampled_from(
        ["_gotcha", "_charset_", "utm_source", "page_url", "a[b][]", "a[b", "a[" * 50, "h-captcha-response"]
    )
    | TEXT
)
VALUES: Final = TEXT | EMAIL.map(str) | LENGTHS.map("x".__mul__)
PAIRS: Final = st.builds(
    lambda complete, drawn: [*complete.items(), *drawn],
    st.sampled_from(_COMPLETE),
    st.lists(st.tuples(NAMES, VALUES), max_size=5),
)


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _encode_urlencoded(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(
        f"{quote_plus(_to_bytes(name))}={quote_plus(_to_bytes(value))}" for name, value in pairs
    ).encode()


def _encode_multipart(pairs: list[tuple[str, str]], files: list[str]) -> bytes:
    def part(name: str, more: bytes, value: bytes) -> bytes:
        quoted = _to_bytes(name).replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
        return b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
            BOUNDARY,
            quoted,
            more,
            value,
        )

    parts = [part(name, b"", _to_bytes(value)) for name, value in pairs]
    parts += [part("file", b'; filename="%b"' % _to_bytes(name), b"\x89PNG") for name in files]
    return b"".join(parts) + b"--%b--\r\n" % BOUNDARY


URLENCODED: Final = PAIRS.map(_encode_urlencoded)
MULTIPART: Final = st.builds(_encode_multipart, PAIRS, st.lists(TEXT, max_size=2))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a JSON value."""
    inner = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [each for key, one in inner for each in [(*path, key), *_paths(one, (*path, key))]]


@st.composite
def builder_payload(draw: st.DrawFn) -> bytes:
    """Draw the JSON of a form builder in which up to three values are replaced by other JSON."""
    body = copy.deepcopy(
        draw(st.sampled_from([each.payload for each in EXAMPLES.values() if not each.pairs]))
    )
    for _ in range(draw(st.integers(0, 3))):
        if paths := _paths(body):
            *parents, last = draw(st.sampled_from(paths))
            parent = body
            for key in parents:
                parent = parent[key]
            parent[last] = draw(JSON | EMAIL)
    return _encode_json(body, ascii_only=draw(st.booleans()))


@st.composite
def builder_form(draw: st.DrawFn) -> bytes:
    """Draw the form data of a form builder in which up to three pairs are replaced."""
    pairs = list(draw(st.sampled_from([each.pairs for each in EXAMPLES.values() if each.pairs])))
    for _ in range(draw(st.integers(0, 3))):
        index = draw(st.integers(0, len(pairs) - 1))
        pairs[index] = (draw(st.just(pairs[index][0]) | NAMES), draw(VALUES))
    return _encode_urlencoded(pairs)
