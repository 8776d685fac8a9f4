"""The names that the canary's page shows for hops and routes."""

from typing import Final

from services.admin.texts import gettext, gettext_noop

ROUTES: Final = {
    "form": gettext_noop("HTML form"),
    "website": gettext_noop("Website"),
    "api": gettext_noop("API with its token"),
}
HOPS: Final = {
    "flusher": gettext_noop("Sending the test lead"),
    "website": gettext_noop("Website"),
    "gateway": gettext_noop("Gateway"),
    "token": gettext_noop("Form key or token"),
    "form": gettext_noop("Form"),
    "request": gettext_noop("Request"),
    "kafka": gettext_noop("Kafka"),
    "persister": gettext_noop("Storage"),
    "postgresql": gettext_noop("Database"),
    "notifier": gettext_noop("Composing the emails"),
    "smtp": gettext_noop("Mail server"),
    "webhooks": gettext_noop("Destinations"),
}
_DESTINATION: Final = "destination:"


def canary_route(route: str) -> str:
    """Return the name that pages show for a route into a site."""
    return gettext(ROUTES[route]) if route in ROUTES else route


def canary_hop(hop: str) -> str:
    """Return the name that pages show for a hop. That of a destination is its own name."""
    if hop.startswith(_DESTINATION):
        return gettext("Destination %(name)s", name=hop.removeprefix(_DESTINATION))
    return gettext(HOPS[hop]) if hop in HOPS else hop


FILTERS: Final = {"canary_route": canary_route, "canary_hop": canary_hop}
