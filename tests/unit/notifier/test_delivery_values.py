"""The column values of deliveries."""

from services.notifier.delivery_values import key_columns, mailbox_of, recipient_of, storable
from tests.support.factories import lead
from tests.support.services.notifier import IDENTITIES, delivery


def test_storable_removes_what_postgresql_cannot_store() -> None:
    assert storable("a\x00b\ud800c") == "ab?c"


def test_welcome_goes_to_lower_case_address_and_counts_for_mailbox() -> None:
    welcome = delivery("welcome", of=lead(email="Ada+X@Example.com"))
    assert recipient_of(welcome, IDENTITIES) == "ada+x@example.com"
    assert mailbox_of(welcome) == "ada@example.com"


def test_an_alert_goes_to_the_admins_and_counts_for_no_mailbox() -> None:
    alert = delivery("admin_alert")
    assert recipient_of(alert, IDENTITIES) == "boss@fast.example"
    assert mailbox_of(alert) is None


def test_key_columns_lists_the_keys_of_the_deliveries() -> None:
    deliveries = [delivery("welcome"), delivery("admin_alert")]
    assert key_columns(deliveries) == {
        "lead_ids": [each.lead.lead_id for each in deliveries],
        "kinds": ["welcome", "admin_alert"],
    }
