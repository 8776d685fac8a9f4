"""Hypothesis strategies for requests to the gateway's three entry points."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz.bodies import (
    BOUNDARY,
    BYTES,
    JSON_BODY,
    MARKER,
    MULTIPART,
    URLENCODED,
    builder_form,
    builder_payload,
    damaged,
    mostly,
)
from tests.fuzz.installation import FORM_KEY, ORIGIN
from tests.support.services.installation import HOOK_KEY, INGEST_TOKEN

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class InboundRequest:
    """One POST. Its `repr` reproduces it."""

    path: str
    headers: Headers
    body: bytes


_VISIBLE: Final = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), min_size=1, max_size=12
)
_HEADER_VALUE: Final = _VISIBLE.map(lambda text: text.encode("latin-1")) | st.sampled_from(
    [MARKER.encode(), b""]
)
_BUILT_JSON: Final = (b"application/json", b"application/json; charset=utf-8", b"application/ld+json", b"")
_FORM: Final = b"application/x-www-form-urlencoded"
_MULTIPART: Final = b"multipart/form-data; boundary=" + BOUNDARY
_OTHER_TYPES: Final = st.sampled_from(
    [b"text/plain", b"text/xml", b"multipart/form-data", b"application/json;;", b"/"]
)


def _typed(body: st.SearchStrategy[bytes], *types: bytes) -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Return pairs of a media type and a body. Few have another type than the body's."""
    return st.tuples(mostly(st.sampled_from(types), _OTHER_TYPES, _HEADER_VALUE), body)


_JSON: Final = _typed(JSON_BODY, *_BUILT_JSON) | _typed(BYTES, *_BUILT_JSON)
_FORMS: Final = st.one_of(
    _typed(URLENCODED, _FORM),
    _typed(MULTIPART, _MULTIPART),
    _typed(damaged(URLENCODED), _FORM),
    _typed(damaged(MULTIPART), _MULTIPART),
    _typed(BYTES, _FORM, _MULTIPART),
)


def _optional(name: str, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[Headers]:
    """Return no header, or one with a drawn value."""
    return st.just(()) | values.map(lambda value: ((name, value),))


def _headers(*optional: st.SearchStrategy[Headers]) -> st.SearchStrategy[Headers]:
    every = (
        _optional("Idempotency-Key", st.sampled_from([b"key-1", b'"key-1"', b"key-2"]) | _HEADER_VALUE),
        _optional("X-Request-ID", _HEADER_VALUE),
        _optional("traceparent", _HEADER_VALUE),
        st.one_of(*[st.just(())] * 9, _optional("Content-Encoding", st.sampled_from([b"gzip", b"identity"]))),
    )
    return st.tuples(*every, *optional).map(lambda parts: tuple(header for part in parts for header in part))


def _requests(
    path: st.SearchStrategy[str],
    headers: st.SearchStrategy[Headers],
    typed: st.SearchStrategy[tuple[bytes, bytes]],
) -> st.SearchStrategy[InboundRequest]:
    return st.builds(
        lambda path, headers, typed: InboundRequest(path, (*headers, ("Content-Type", typed[0])), typed[1]),
        path,
        headers,
        typed,
    )


_BEARER: Final = st.just(f"Bearer {INGEST_TOKEN}").map(str.encode)
_WRONG_KEY: Final = st.just(quote(MARKER, safe=""))
_ORIGINS: Final = mostly(
    st.just(ORIGIN.encode()),
    _HEADER_VALUE,
    st.sampled_from([b"null", b"https://elsewhere.example", b"https://["]),
)
REQUESTS: Final[dict[str, st.SearchStrategy[InboundRequest]]] = {
    "/inbound/leads": _requests(
        st.just("/inbound/leads"),
        _headers(mostly(_BEARER, _HEADER_VALUE).map(lambda value: (("Authorization", value),))),
        _JSON,
    ),
    "/inbound/forms": _requests(
        mostly(st.just(FORM_KEY), _WRONG_KEY).map("/inbound/forms/".__add__),
        _headers(
            _ORIGINS.map(lambda value: (("Origin", value),)),
            _optional(
                "Referer",
                _HEADER_VALUE | st.just(f"{ORIGIN}/contact?utm_source=%F0%9F%92%A9&gclid=1".encode()),
            ),
            _optional("Accept", st.sampled_from([b"text/html", b"text/html,*/*;q=0.8", b"application/json"])),
            _optional("User-Agent", _HEADER_VALUE),
            _optional(
                "X-Forwarded-For", st.sampled_from([b"203.0.113.7", b"2001:db8::1, 10.0.0.1"]) | _HEADER_VALUE
            ),
        ),
        _FORMS | _JSON,
    ),
    "/inbound/hooks": _requests(
        mostly(st.just(HOOK_KEY), _WRONG_KEY).map("/inbound/hooks/".__add__),
        _headers(_optional("Framer-Webhook-Submission-Id", _HEADER_VALUE)),
        st.one_of(
            _typed(builder_payload(), *_BUILT_JSON),
            _typed(builder_form(), _FORM),
            _FORMS,
            _JSON,
        ),
    ),
}


@st.composite
def inbound_requests(draw: st.DrawFn) -> tuple[str, InboundRequest]:
    """Draw an entry point, which is a key of `REQUESTS`, and a request to it."""
    route = draw(st.sampled_from(list(REQUESTS)))
    return route, draw(REQUESTS[route])
