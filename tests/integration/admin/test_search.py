"""Leads are found by any part of what a person knows of them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.admin.schemas.search_terms import MAX_TERMS, search_parameters
from tests.support.services.admin import Admin
from tests.support.stack import Database

LEAD_ID = UUID("0191f3c2-77aa-7bbb-8ccc-9d1c0ffeeb0b")
FOUND = [
    "zoe", "Zo\u00eb", "ZOE\u0308", "zo", "o'brien", "O\u2019Brien", "obrien", "O`Brien", "Brien Zoe",
    "strasser", "Stra\u00dfer", "rasse", "brien@exam", "lodz", "\u0141\u00f3d\u017a", "backerei",
    "B\u00c4CKER", "ofen", "\u00f6fen", "lieferung bis m\u00e4rz", "planen", r"A\b_c%d", "\uff19.000",
    "z\u00fcrich", "ruckruf", "Dienstag", "zoe & ofen", "9.000 zurich",
    "030 1234567", "(030) 1234-567", "+49 30 1234567", "0049301234567", "1234567", "301234", "+4930/1234567",
    "zo\u00eb 030 12 34 567", "030 1234-567 Brien", "+49 30 1234567 zoe", "30 1234 567", "Zoe 49 30 1234567",
    "011 49 30 1234567", "0011 49 30 1234567", "810 49 30 1234567", "Zoe - 030 / 1234567 - Brien",
    "\u202a+49 30 1234567\u202c", "030 1234\u2013567", "tel:+49301234567", "49301234567", "3 1234 567",
    str(LEAD_ID), str(LEAD_ID).upper(), "0191f3c2-77aa", "0191f3c277", "0ffeeb0b", "0FFEEB0B",
]  # fmt: skip
NOT_FOUND = [
    "'", "\u200b", "\x1f", "null", "zoey", "briem", "brien lovelace", "%%%", "___", "1234568",
    "ada 030 1234567", "zoe 030 1234568", "+49 40 1234567", "0191f3c3", "0ffeeb0c",
]  # fmt: skip


@pytest.fixture
async def admin(admin: Admin) -> Admin:
    """Store the lead that `FOUND` looks for, and one that nothing here may find."""
    await admin.add_lead(
        lead_id=LEAD_ID,
        name="Zo\u00eb O\u2019Brien-Stra\u00dfer",
        email="zoe.brien@example.com",
        company="\u0141\u00f3d\u017a B\u00e4ckerei",
        message="Wir planen 3 \u00d6fen.\nLieferung bis M\u00e4rz, Code A\\b_c%d.",
        extra={"Budget": "bis 9.000", "Stadt": "Z\u00fcrich"},
    )
    await admin.edit_lead(LEAD_ID, phone="+49 (0)30 1234-567", notes="R\u00fcckruf am Dienstag")
    await admin.add_lead(name="Somebody Else", email="else@example.org", message="Hello")
    return admin


async def test_a_lead_is_found_by_any_part_of_it(admin: Admin) -> None:
    for search in FOUND:
        answer = await admin.get("/admin/leads", q=search)
        assert ([lead["id"] for lead in answer["leads"]], answer["total"]) == ([str(LEAD_ID)], 1), search


async def test_a_lead_is_not_found_by_other_words(admin: Admin) -> None:
    assert [each for each in NOT_FOUND if (await admin.get("/admin/leads", q=each))["total"]] == []


@pytest.mark.parametrize(
    ("stored", "searches"),
    [
        ("+7 912 345-67-89", ["8 912 345 67 89", "8 (912) 345-67-89", "89123456789", "810 7 912 3456789"]),
        ("8 (912) 345-67-89", ["+7 912 3456789", "79123456789", "912 345 67 89", "Ivan 8 912 345 67 89"]),
        ("+375 29 123 45 67", ["8 029 123-45-67", "80291234567", "810 375 29 1234567"]),
        (
            "011 44 20 7946 0958",
            ["+44 20 7946 0958", "0044 20 7946 0958", "020 7946 0958", "Ivan 79 46 09 58"],
        ),
        ("0114 496 0000", ["0114 4960000", "+44 114 496 0000", "Ivan 0114 4960000"]),
        ("912345678", ["912 34 56 78", "91 234 56 78", "+34 912 34 56 78"]),
        ("12345678", ["12 34 56 78", "+45 12 34 56 78", "Ivan 12 34 56 78"]),
    ],
)
async def test_a_phone_number_is_found_with_any_prefix(
    admin: Admin, stored: str, searches: list[str]
) -> None:
    lead = await admin.add_lead(name="Ivan Ivanov", phone=stored, message="Hello")
    for search in searches:
        answer = await admin.get("/admin/leads", q=search)
        assert [lead["id"] for lead in answer["leads"]] == [str(lead.lead_id)], search


async def test_an_erased_lead_is_not_found_by_its_words(admin: Admin) -> None:
    await admin.request("DELETE", f"/admin/leads/{LEAD_ID}")
    for search in ("zoe", "brien@exam", "301234567", "ofen", "zurich", "dienstag"):
        assert (await admin.get("/admin/leads", q=search))["total"] == 0, search


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "\u03a0\u0391\u03a0\u0391\u0394\u039f\u03a0\u039f\u03a5\u039b\u039f\u03a3",
            "\u03a0\u03b1\u03c0\u03b1\u03b4\u03cc\u03c0\u03bf\u03c5\u03bb\u03bf\u03c2",
        ),
        ("\u0645\u062d\u0645\u062f", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f"),
        ("\u0623\u062d\u0645\u062f", "\u0627\u062d\u0645\u062f"),
        ("Jean\u2011Luc", "jean-luc"),
        ("\ufb01 \uff21", "fi a"),
        ("\u0130stanbul", "ISTANBUL"),
    ],
    ids=["greek", "arabic vowels", "arabic hamza", "hyphen", "compatibility", "turkish"],
)
async def test_texts_are_equal_in_their_search_form(db: Any, one: str, other: str) -> None:
    assert await db.fetchval("SELECT search_form($1) = search_form($2)", one, other)


words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=3, max_size=30)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=words, cut=st.tuples(st.integers(0, 27), st.integers(3, 30)), other=words)
async def test_each_part_of_a_word_finds_it(db: Any, word: str, cut: tuple[int, int], other: str) -> None:
    part = word[cut[0] : cut[0] + cut[1]]
    assume(await db.fetchval("SELECT length(btrim(search_form($1))) >= 3", part))
    parameters = search_parameters(part)
    for message in (f"{other} {word}", f"{word} {other}"):
        text = await db.fetchval(
            "SELECT lead_search_text('', NULL, NULL, NULL, NULL, $1, NULL, '{}')", message
        )
        for number in range(1, MAX_TERMS + 1):
            if patterns := parameters[f"term_{number}"]:
                assert await db.fetchval("SELECT $1 LIKE ANY (search_patterns($2))", text, patterns)
