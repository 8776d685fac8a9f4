"""Events as their JSON text reads, for the tests of messages."""

from typing import Any, Final

HOSTILE: Final = (
    "<!channel> <@U1> @everyone [free](https://evil.example) *b* _i_ `c` & <b> https://evil.example/a"
)
_ID: Final = "018cce9d-7c43-7ab1-8c3d-9e0f1a2b3c07"


def received(**fields: Any) -> dict[str, Any]:
    """Return an event of an accepted lead."""
    data = {
        "id": _ID,
        "reference": "1a2b3c07",
        "site": "shop",
        "site_name": "Shop Nord",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": None,
        "company": None,
        "service": "Web design",
        "message": "Please call me.",
        "source": None,
    }
    return {"type": "lead.received", "timestamp": "2026-01-03T10:30:45.125000Z", "data": data | fields}


def all_fields(text: str) -> dict[str, Any]:
    """Return an event whose fields of the visitor all have this text."""
    names = ("name", "email", "phone", "company", "service", "message")
    return received(**dict.fromkeys(names, text), site_name=text, source={"utm_campaign": text})


def alert_failed(count: int) -> dict[str, Any]:
    """Return an event about leads whose notifications nobody received."""
    leads = [{"id": f"018cce9d-7c43-7ab1-8c3d-{n:012d}", "reference": f"{n:08d}"} for n in range(count)]
    data = {
        "site": "shop",
        "site_name": "Shop Nord",
        "count": count,
        "leads": leads,
        "reason": "550 5.7.1 sender not allowed",
        "since": "2026-01-03T10:30:45.125000Z",
    }
    return {"type": "lead.alert_failed", "timestamp": "2026-01-03T10:31:45.125000Z", "data": data}


def erased() -> dict[str, Any]:
    """Return an event of an erased lead."""
    data = {"id": _ID, "reference": "1a2b3c07", "site": "shop"}
    return {"type": "lead.erased", "timestamp": "2026-01-03T10:30:45.125000Z", "data": data}
