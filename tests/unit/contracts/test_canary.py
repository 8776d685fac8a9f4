"""Only a mark of our own, with the content of a canary, makes a canary."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from contracts.canary import CLOCK_SKEW, MARK_FIELD, MAX_AGE, canary_fields, canary_of, find_canary, make_mark
from contracts.headers import CANARY
from contracts.leads import LeadSubmission

SECRET = b"a secret of the tests, 32 bytes long"


def find(fields: dict[str, Any], site: str = "studio", now: datetime | None = None) -> UUID | None:
    return find_canary(SECRET, site, LeadSubmission.model_validate(fields), now or datetime.now(UTC))


def test_a_canary_is_recognized_also_with_what_a_website_adds() -> None:
    canary_id = uuid7()
    fields: dict[str, Any] = canary_fields(SECRET, "studio", canary_id)
    assert find(fields) == canary_id
    added = {"consent": True, "locale": "en", "source": {"page_url": "https://a.example"}, "meta": {}}
    assert find(fields | added) == canary_id


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "Please call me"},
        {"name": "Ada"},
        {"email": "ada@example.com"},
        {"phone": "+44 20 7946 0000"},
        {"company": "Engines"},
        {"service": "Call me instead"},
        {"budget": "10,000"},
    ],
)
def test_a_mark_beside_any_other_content_makes_an_ordinary_lead(changes: dict[str, Any]) -> None:
    assert find(canary_fields(SECRET, "studio", uuid7()) | changes) is None


@pytest.mark.parametrize(
    "mark",
    ["", "x", f"{uuid7()}", f"{uuid7()}.", f"{uuid7()}.{'0' * 64}", f"{uuid7()}.é", 7, ["x"], {"a": 1}],
    # Names without the random ids: every process of pytest-xdist must collect the same tests.
    ids=["empty", "word", "id", "no signature", "zeros", "no digit", "number", "list", "object"],
)
def test_a_forged_mark_makes_an_ordinary_lead(mark: Any) -> None:
    assert find(canary_fields(SECRET, "studio", uuid7()) | {MARK_FIELD: mark}) is None


def test_a_mark_counts_for_its_own_canary_and_site_only() -> None:
    fields, other = canary_fields(SECRET, "studio", uuid7()), make_mark(SECRET, "studio", uuid7())
    assert find(fields | {MARK_FIELD: other}) is None
    assert find(fields, site="shop") is None
    assert (
        find_canary(
            b"another secret of at least 32 bytes", "studio", LeadSubmission(**fields), datetime.now(UTC)
        )
        is None
    )


def test_an_old_mark_and_one_of_the_future_make_an_ordinary_lead() -> None:
    fields, now = canary_fields(SECRET, "studio", uuid7()), datetime.now(UTC)
    assert find(fields, now=now + MAX_AGE - timedelta(minutes=1)) is not None
    assert find(fields, now=now + MAX_AGE + timedelta(minutes=1)) is None
    assert find(fields, now=now - CLOCK_SKEW - timedelta(minutes=1)) is None


def test_only_the_gateway_s_header_makes_a_record_a_canary() -> None:
    canary_id = uuid4()
    assert canary_of([("correlation_id", b"x"), (CANARY, str(canary_id).encode())]) == canary_id
    assert canary_of([("correlation_id", b"x")]) is None
    assert canary_of([(CANARY, b"yes")]) is None
    assert canary_of(()) is None
