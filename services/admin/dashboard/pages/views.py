"""Saved views of the list of leads: the links with counts, and the pages to save and to change views."""

from typing import Annotated, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Request, Response
from pydantic import TypeAdapter, ValidationError

from services.admin.adapters import Adapters, CurrentAdapters
from services.admin.auth.session import Session
from services.admin.dashboard.auth import CurrentSession
from services.admin.dashboard.cache import Cache, CurrentCache
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.lead_search import LeadSearch, chips
from services.admin.dashboard.rendering import PageRoute, is_htmx, redirect, render
from services.admin.dashboard.timezone import ViewerZone, zone_or_utc
from services.admin.dashboard.view_links import counts_key, load_links, view_url
from services.admin.rules.errors import ConflictError
from services.admin.rules.view_rules import find_by_name, may_change
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.schemas.views import NAME_MAX, NewView, SavedView, ViewEdit, ViewName
from services.admin.texts import gettext

VIEWS: Final = "/admin/ui/views"
router = APIRouter(prefix=VIEWS, route_class=PageRoute)


class ViewForm(LeadSearch):
    """The filters and the order of the list, and the name under which they are saved.

    If the admin has confirmed that an existing view is replaced, `replaces` is the id of that view. The view
    gets the new filters and order, and keeps its name.
    """

    name: str = ""
    shared: bool = False
    replaces: BlankAsNone[UUID] = None
    zone: str = ""

    def saved_conditions(self) -> dict[str, Any]:
        """Return the conditions to save: without the search words and without the page's cursor."""
        return self.model_dump(include=set(LeadConditions.model_fields), exclude_none=True)


@router.get("/bar")
async def show_bar(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    cache: CurrentCache,
) -> Response:
    """Render the links to the views, with their counts. The page of leads requests them at intervals."""
    links = await load_links(adapters, cache, zone, session.actor)
    return render(request, session, "views/bar.html", views=links, view_url=None)


@router.get("")
async def show_views(
    request: Request, session: CurrentSession, adapters: CurrentAdapters, zone: ViewerZone
) -> Response:
    """Show the saved views, with forms to rename and delete them."""
    return await _render_views(request, session, adapters, zone)


@router.post("/new")
async def show_form(request: Request, session: CurrentSession, form: Annotated[ViewForm, Form()]) -> Response:
    """Show the form for the name of a view. With htmx, it is a dialog. Without htmx, it is a page."""
    return _render_form(request, session, form)


@router.post("")
async def save_view(
    request: Request,
    session: CurrentSession,
    adapters: CurrentAdapters,
    cache: CurrentCache,
    form: Annotated[ViewForm, Form()],
) -> Response:
    """Save a view and open it.

    If the name is invalid or taken, or if there are too many views, show the form again. If the admin may
    change the view that has the name, the form offers to replace that view.
    """
    try:
        if form.replaces:
            edit = ViewEdit.model_validate({"conditions": form.saved_conditions()})
            view = await adapters.views.edit(form.replaces, edit, session.actor)
            return _open_view(request, session, cache, view, form.zone)
        new = NewView.model_validate(
            {"name": form.name, "shared": form.shared, "conditions": form.saved_conditions()}
        )
        view = await adapters.views.add(new, session.actor)
    except ValidationError as error:
        is_name = any(item["loc"][0] == "name" for item in error.errors())
        message = (
            _name_error() if is_name else gettext("Choose a filter or an order first: a view needs one.")
        )
        return _render_form(request, session, form, message, 422)
    except ConflictError as error:
        views = await adapters.views.list_views(session.actor)
        same = find_by_name(views, new.name, shared=new.shared)
        replaceable = same if same and may_change(same, session.actor) else None
        return _render_form(request, session, form, str(error), 409, replaceable)
    return _open_view(request, session, cache, view, form.zone)


def _open_view(request: Request, session: Session, cache: Cache, view: SavedView, zone_name: str) -> Response:
    """Return a redirect to the list of leads with the filters of a view.

    Also drops the cached counts, so that the page shows the current count of the view.
    """
    zone = zone_or_utc(zone_name)
    cache.invalidate(counts_key(zone, session.actor))
    return redirect(request, view_url(view.conditions, zone))


@router.post("/{view_id}")
async def rename_view(
    request: Request,
    view_id: UUID,
    session: CurrentSession,
    adapters: CurrentAdapters,
    zone: ViewerZone,
    name: Annotated[str, Form()] = "",
) -> Response:
    """Rename a view. If the name is invalid or taken, show the page again."""
    try:
        # An empty name is no "keep the name".
        new = TypeAdapter(ViewName).validate_python(name)
        await adapters.views.edit(view_id, ViewEdit(name=new), session.actor)
    except (ValidationError, ConflictError) as error:
        message = str(error) if isinstance(error, ConflictError) else _name_error()
        status = 409 if isinstance(error, ConflictError) else 422
        return await _render_views(
            request, session, adapters, zone, status, wrong_id=view_id, wrong_name=name, error=message
        )
    return redirect(request, VIEWS)


@router.post("/{view_id}/delete")
async def delete_view(
    request: Request, view_id: UUID, session: CurrentSession, adapters: CurrentAdapters
) -> Response:
    """Delete a view. No lead is deleted, and URLs with the view's filters still work."""
    await adapters.views.delete(view_id, session.actor)
    return redirect(request, VIEWS)


def _name_error() -> str:
    return gettext("Enter a name of at most %(count)s characters.", count=NAME_MAX)


def _render_form(
    request: Request,
    session: Session,
    form: ViewForm,
    error: str = "",
    status: int = 200,
    replaceable: SavedView | None = None,
) -> Response:
    """Render the form that asks for a name: as a dialog for htmx, else as a page.

    `replaceable` is the view that has the name and that the admin may replace.
    """
    return render(
        request,
        session,
        "views/save_dialog.html" if is_htmx(request) else "views/save_page.html",
        status,
        form=form,
        fields=[*form.model_copy(update={"q": None}).hidden_fields(), ("sort", form.sort or "")],
        chips=[text for text, _ in chips(form, request.app.state.sites.display_name)],
        name_max=NAME_MAX,
        error=error,
        replaceable=replaceable,
    )


async def _render_views(
    request: Request,
    session: Session,
    adapters: Adapters,
    zone: ZoneInfo,
    status: int = 200,
    *,
    wrong_id: UUID | None = None,
    wrong_name: str = "",
    error: str = "",
) -> Response:
    """Render the page of views.

    After a failed rename, `wrong_id` is the view, `wrong_name` the rejected name, and `error` the reason.
    """
    views = await adapters.views.list_views(session.actor)
    site_name = request.app.state.sites.display_name

    def filter_texts(view: SavedView) -> list[str]:
        search = LeadSearch.model_validate(view.conditions.model_dump())
        return [text for text, _ in chips(search, site_name)]

    return render(
        request,
        session,
        "views/views.html",
        status,
        views=views,
        may_change={view.id for view in views if may_change(view, session.actor)},
        urls={view.id: view_url(view.conditions, zone) for view in views},
        chips={view.id: filter_texts(view) for view in views},
        name_max=NAME_MAX,
        wrong_id=wrong_id,
        wrong_name=wrong_name,
        error=error,
    )
