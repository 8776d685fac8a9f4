"""Which leads can be sent to a destination."""

import pytest

from runtime.sites.destinations import Destination
from services.admin.rules.send_rules import send_refusal


def _destination(**changes: object) -> Destination:
    fields = {"name": "crm", "kind": "slack", "url": "https://crm.example"} | changes
    return Destination.model_validate(fields)


@pytest.mark.parametrize(
    ("destination", "status", "refused"),
    [
        (_destination(), "received", None),
        (_destination(sites=["shop"]), "lost", None),
        (_destination(), "spam", "Spam and held"),
        (_destination(), "held", "Spam and held"),
        (_destination(), "erased", "deleted"),
        (_destination(sites=["other"]), "won", "this website"),
        (_destination(events=["lead.updated"]), "won", "lack lead.received"),
        (None, "won", "no destination"),
    ],
)
def test_a_lead_is_sent_unless_there_is_a_reason(
    destination: Destination | None, status: str, refused: str | None
) -> None:
    why = send_refusal(destination, {"status": status, "site": "shop"})
    assert (why is None) if refused is None else (refused in (why or ""))
