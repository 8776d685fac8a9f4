"""Names that a welcome may greet."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier.mail.greeting import NAME_MAX, WORDS_MAX, greeting_name
from services.notifier.mail.message import compose
from tests.support.factories import lead
from tests.support.services.notifier import IDENTITY


@pytest.mark.parametrize(
    "name",
    [
        "Ada",
        "Ada Lovelace",
        "Dr. J. R. O'Brien-Smith",
        "Zoë Müller",
        "María de los Ángeles López",
        "Jean-Luc Picard",
        "Nguyễn Văn An",
        "प्रिया शर्मा",
        "محمد علي",
        "王小明",
        "クリス・スミス",
        "O\u2019Brien",
        "Þórdís Kolbrún",
    ],
)
def test_a_name_is_greeted(name: str) -> None:
    assert greeting_name(name) == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "evil.com",
        "evil\u3002com",
        "evil\uff0ecom",
        "evil\uff61com",
        "evil\u2024com",
        "go to evil .com",
        "https evil com",
        "www evil com",
        "Call +49 170 1234567",
        "Call \uff10\uff11\uff17\uff10",
        "Call ①②③",
        "Call ٠١٢٣",
        "ada@example.com",
        "Win a free phone today now",
        "A" * 41,
        "Donaudampfschifffahrtsgesellschaft",
        "加我微信领取免费礼物现在就来快点",
        "Ada\U0001f4b0",
        "Ada: pay now",
        "pay/now",
        "$$$",
        "- - -",
        "&",
        "& more",
        "B1tcoin",
    ],
)
def test_other_input_is_not_greeted_by_name(typed: str) -> None:
    assert greeting_name(typed) == ""


@given(st.text())
@example("evil。com")
def test_a_greeted_name_is_short_and_holds_only_letters(typed: str) -> None:
    name = greeting_name(typed)
    assert len(name) <= NAME_MAX
    assert len(name.split()) <= WORDS_MAX
    assert not any(unicodedata.category(char)[0] in "NSC" for char in name)
    assert not set(name) & set('@/\\:<>"\n\t\u3002\uff0e\uff61\u2024')
    assert all(len(part) <= 5 for part in name.split() if "." in part)


@pytest.mark.parametrize("typed", ["evil\u3002com", "Call 0170 1234567", "Ada Lovelace"])
def test_text_and_html_hold_the_same_greeting(typed: str) -> None:
    content = compose("welcome", lead(name=typed), IDENTITY, datetime.now(UTC)).content.decode()
    greeted = greeting_name(typed)
    assert content.count(greeted or "no such text") == (2 if greeted else 0)
    assert ("Thank you, " in content) == bool(greeted)
