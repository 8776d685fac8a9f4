"""The page of destinations: what each receives, and the buttons to test, disable and enable it."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.disruptions.destinations import DESTINATIONS, destination_url
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render, render_toast
from services.admin.rules.destinations import disabled_by
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.destinations import DestinationSummary
from services.admin.schemas.incidents import IncidentFilter
from services.admin.store.deliveries.destinations import NOT_IN_FILE, kinds_of
from services.admin.texts import gettext

router = APIRouter(prefix=DESTINATIONS, route_class=PageRoute)
Name = Annotated[str, Path(max_length=50)]
# A test event is shown as soon as its result is there.
POLL_SECONDS: Final = 5
TEST_POLL_SECONDS: Final = 1


@router.get("")
async def show_destinations(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show each destination: its state, its numbers, and the result of its last test event."""
    found = await adapters.destinations.list_destinations(kinds_of(request.app.state.sites))
    incidents = await adapters.incidents.list_incidents(IncidentFilter(state="open"))
    any_test = any(map(is_testing, found.destinations))
    return render(
        request,
        session,
        "destinations/destinations.html",
        destinations=found.destinations,
        incidents={each.url: each for each in incidents.incidents},
        destination_url=destination_url,
        disabled_by=disabled_by,
        is_testing=is_testing,
        poll_seconds=TEST_POLL_SECONDS if any_test else POLL_SECONDS,
    )


def is_testing(destination: DestinationSummary) -> bool:
    """Return True if a test event is still being sent: the page then reloads until it has the result."""
    test = destination.last_test
    is_open = test is not None and test.attempts <= 1 and test.state in ("pending", "sending")
    return is_open and destination.state == "healthy"


@router.post("/{name}/test")
async def send_test_event(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, name: Name
) -> Response:
    """Send a test event. The page shows its result when the destination has answered."""
    await adapters.destinations.send_test(name, kinds_of(request.app.state.sites), session.actor)
    text = gettext("Sending a test event to %(destination)s.", destination=name)
    return _done(request, session, name, text)


@router.get("/{name}/disable")
async def confirm_disabling(request: Request, session: CurrentSession, name: Name) -> Response:
    """Say what disabling a destination does, and ask for confirmation."""
    if name not in kinds_of(request.app.state.sites):
        raise NotFoundError(gettext(NOT_IN_FILE))
    template = "destinations/disable_dialog.html" if is_htmx(request) else "destinations/disable.html"
    return render(request, session, template, name=name)


@router.post("/{name}/disable")
async def disable_destination(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, name: Name
) -> Response:
    """Disable a destination."""
    await adapters.destinations.disable(name, kinds_of(request.app.state.sites), session.actor)
    return _done(request, session, name, gettext("%(destination)s is disabled.", destination=name))


@router.post("/{name}/enable")
async def enable_destination(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, name: Name
) -> Response:
    """Enable a destination, or end its pause."""
    await adapters.destinations.enable(name, kinds_of(request.app.state.sites), session.actor)
    text = gettext("Sending to %(destination)s again.", destination=name)
    return _done(request, session, name, text)


def _done(request: Request, session: CurrentSession, name: str, text: str) -> Response:
    if not is_htmx(request):
        return redirect(request, destination_url(name))
    return render_toast(request, session, text)
