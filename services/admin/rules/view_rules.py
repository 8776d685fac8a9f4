"""Who may save, edit and delete views, and how many there may be. No I/O."""

from collections.abc import Collection
from typing import Final

from contracts.audit import DEFAULT_ACTOR
from services.admin.rules.errors import ConflictError, ForbiddenError
from services.admin.schemas.views import SavedView
from services.admin.texts import gettext, gettext_noop

# The largest number of views of a person, and of the team. The page of leads shows all with their counts.
VIEWS_MAX: Final = 20


def may_change(view: SavedView, actor: str) -> bool:
    """Return True if the actor may edit and delete a view that the actor can see.

    The actor `admin`, whose token has no name in the settings, may change the team's views.
    """
    return actor in (view.author, DEFAULT_ACTOR)


def check_change(view: SavedView, actor: str) -> None:
    """Raise `ForbiddenError` if the actor may not change the view."""
    if not may_change(view, actor):
        raise ForbiddenError(
            gettext(
                "Only %(author)s or %(admin)s can change this view.", author=view.author, admin=DEFAULT_ACTOR
            )
        )


def check_new(views: Collection[SavedView], name: str, *, shared: bool) -> None:
    """Raise `ConflictError` if there are too many views, or if one of them has this name.

    `views` are all views that the actor can see. For a `shared` view, only the team's views are considered.
    Otherwise, only the actor's own views are considered.
    """
    if len([view for view in views if view.shared is shared]) >= VIEWS_MAX:
        text = (
            gettext_noop("The team has %(count)s views. Delete one of them first.")
            if shared
            else gettext_noop("You have %(count)s views. Delete one of them first.")
        )
        raise ConflictError(gettext(text, count=VIEWS_MAX))
    check_name(views, name, shared=shared)


def find_by_name(views: Collection[SavedView], name: str, *, shared: bool) -> SavedView | None:
    """Return the view with this name, or None. The comparison ignores case.

    If `shared` is True, only the team's views are searched. Otherwise, only the actor's own views are
    searched.
    """
    return next((each for each in views if each.shared is shared and each.name.lower() == name.lower()), None)


def check_name(views: Collection[SavedView], name: str, *, shared: bool) -> None:
    """Raise `ConflictError` if a view has this name. The comparison ignores case.

    If `shared` is True, only the team's views are considered. Otherwise, only the actor's own views are
    considered.
    """
    if find_by_name(views, name, shared=shared):
        raise ConflictError(
            gettext("The team has a view with this name. Choose another one.")
            if shared
            else gettext("You have a view with this name. Choose another one.")
        )
