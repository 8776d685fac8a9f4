"""The page of leads that are held because they exceeded a rate limit.

A user releases all held leads of a site at once, or marks them all as spam.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from pydantic import ConfigDict

from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.labels import state_name
from services.admin.dashboard.rendering import PageRoute, redirect, render
from services.admin.schemas.held_leads import HeldDecision
from services.admin.texts import ngettext

HELD = "/admin/ui/held"
router = APIRouter(prefix=HELD, route_class=PageRoute)


@router.get("")
async def show_held_leads(request: Request, session: CurrentSession, adapters: CurrentAdapters) -> Response:
    """Show the sites that have held leads."""
    sites = await adapters.held_leads.list_sites()
    return render(request, session, "leads/held.html", sites=sites, message="")


class DecisionForm(HeldDecision):
    """The form that releases a site's held leads or marks them as spam.

    Without `confirmed`, a page explains what will happen and asks for confirmation.
    """

    model_config = ConfigDict(extra="ignore")  # the CSRF token

    confirmed: bool = False


@router.post("")
async def decide_held_leads(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    form: Annotated[DecisionForm, Form()],
) -> Response:
    """Release the held leads of a site or mark them as spam, after a confirmation."""
    if not form.confirmed:
        leads = await adapters.held_leads.count(form)
        if not leads:
            return redirect(request, HELD)
        return render(request, session, "leads/held_confirm.html", leads=leads, decision=form)
    decided = await adapters.held_leads.decide(form, session.actor)
    name = request.app.state.sites.display_name(decided.site)
    message = ngettext(
        "%(count)s lead of %(site)s: %(status)s.",
        "%(count)s leads of %(site)s: %(status)s.",
        decided.changed,
        site=name,
        status=state_name(form.new_status),
    )
    if decided.left:
        left = ngettext("%(count)s lead still held.", "%(count)s leads still held.", decided.left)
        message = f"{message} {left}"
    sites = await adapters.held_leads.list_sites()
    return render(request, session, "leads/held.html", sites=sites, message=message)
