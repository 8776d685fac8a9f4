"""Text is in NFC, breaks its lines by LF, and shows something."""

import unicodedata
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.text import is_blank, to_line, to_text, truncate, without_invisible

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # with a joiner within
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("plain\r\n\ttext", "plain\r\n\ttext"),
        ("a\vb\fc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("cafe\u0301", "caf\u00e9"),
        (PERSIAN, PERSIAN),
        ("a\x00b", "ab"),
        ("cut \ud83d", "cut \ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_text_keeps_joiners_and_line_breaks(typed: str, kept: str) -> None:
    assert to_text(typed) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Ada \n", "Ada"),
        ("Ada\r\nLovelace", "Ada Lovelace"),
        ("\u200b\ufeffAda\u00a0\u2060", "Ada"),
        (PERSIAN, PERSIAN),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\u200b", ""),
        ("\u3164\ufe0f", ""),
        ("\U000e0041", ""),
    ],
)
def test_line_loses_invisible_ends(typed: str, kept: str) -> None:
    assert to_line(typed) == kept


def test_address_has_no_invisible_characters() -> None:
    assert without_invisible("\u200bada\u200d@example.com \n") == "ada@example.com"


def test_regression_blanks_within_an_address_stay() -> None:
    assert without_invisible(" write to ada@example.com") == "write to ada@example.com"


@pytest.mark.parametrize(
    ("typed", "maximum", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        (f"a{FAMILY}", 4, "a"),
        ("ae\u0323x", 2, "a"),
        ("e" + "\u0323" * 99, 50, 50),
    ],
)
def test_text_is_cut_between_characters(typed: str, maximum: int, kept: str | int) -> None:
    cut = truncate(typed, maximum)
    assert (len(cut) if isinstance(kept, int) else cut) == kept


@given(st.text(st.characters(), max_size=20))
def test_normalised_text_stays_as_it_is_and_can_be_stored(typed: str) -> None:
    for normalise in (to_text, to_line):
        kept = normalise(typed)
        assert normalise(kept) == kept
        assert unicodedata.is_normalized("NFC", kept)
        assert "\x00" not in kept
        kept.encode()
    assert is_blank(to_line(typed)) == (to_line(typed) == "")


def test_regression_long_run_of_marks_is_normalised_in_little_time() -> None:
    started = perf_counter()
    to_text("\u0301" * 50_000 + "\u0323" * 50_000)

    assert perf_counter() - started < 1


def test_long_text_is_in_nfc() -> None:
    decomposed = "Mu\u0308ller und Gru\u0308n, " * 500
    assert to_text(decomposed) == unicodedata.normalize("NFC", decomposed)
