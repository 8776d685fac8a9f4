"""Answers as text: lists, files and links instead of JSON."""

import pytest
from pydantic import JsonValue

from contracts.answers import answer_parts, answer_text

FILE = {"id": "x", "name": "plan.pdf", "url": "https://files.example/1"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (["5-10k"], "5-10k"),
        (["Web", "SEO", 3], "Web, SEO, 3"),
        ([FILE], "plan.pdf (https://files.example/1)"),
        ({"url": "http://files.example/1"}, "http://files.example/1"),
        ("[not a list]", "[not a list]"),
        ({"a": 1}, '{"a": 1}'),
        ([], ""),
    ],
)
def test_an_answer_is_text(answer: JsonValue, text: str) -> None:
    assert answer_text(answer) == text


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//a.example", "https:", "https://[a", "see https://a.example",
     "https://a.example\n", "ftp://a.example", "https://a.example/\u202e"],
)  # fmt: skip
def test_only_a_web_url_is_a_link(url: str) -> None:
    assert list(answer_parts(url)) == [(url, "")]
    assert [link for _, link in answer_parts([{"name": "x", "url": url}])] == [""]
