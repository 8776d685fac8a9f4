"""Saved views of the list of leads: an admin's own and the team's.

Each change is audited, but the audit entry does not contain the name of the view.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import view_rules
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.schemas.views import NewView, SavedView, ViewCount, ViewEdit
from services.admin.store.leads.search import count_up_to
from services.admin.store.planning import plan_for_values
from services.admin.texts import gettext, gettext_noop

_SQL: Any = load_queries(Path(__file__).with_name("views.sql"))
COUNT_UP_TO: Final = 1000
NO_SUCH_VIEW: Final = gettext_noop("There is no view with this id. It may have been deleted.")


class Views:
    """Reads and writes the rows of the table `lead_view`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_views(self, actor: str) -> list[SavedView]:
        """Return the actor's own views and then the team's, each sorted by name."""
        async with snapshot(self._pool) as connection:
            return await _list_views(connection, actor)

    async def count(self, views: Sequence[LeadConditions], zone: ZoneInfo, actor: str) -> list[ViewCount]:
        """Return the number of leads that each view shows to the actor now.

        Each count is one query that stops at `COUNT_UP_TO`.
        """
        counts = []
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            for view in views:
                selection = view.to_filter(zone, actor).selection()
                total = await count_up_to(connection, selection, COUNT_UP_TO + 1)
                counts.append(ViewCount(total=min(total, COUNT_UP_TO), total_is_capped=total > COUNT_UP_TO))
        return counts

    async def add(self, new: NewView, actor: str) -> SavedView:
        """Save a view. Raises `ConflictError` if there are too many views, or if one has this name."""
        async with transaction(self._pool) as connection:
            await _SQL.lock_views(connection)
            view_rules.check_new(await _list_views(connection, actor), new.name, shared=new.shared)
            row = await _SQL.add_view(
                connection,
                id=uuid4(),
                author=actor,
                shared=new.shared,
                name=new.name,
                conditions=_to_json(new.conditions),
            )
            view = _to_view(row)
            await _audit(connection, AuditEvent.VIEW_SAVED, actor, view)
        return view

    async def edit(self, view_id: UUID, edit: ViewEdit, actor: str) -> SavedView:
        """Rename a view, or replace its filters and its order, or both. Audits what changed.

        Raises `NotFoundError` if the view does not exist, `ForbiddenError` for a team view of another author,
        and `ConflictError` if another view has this name.
        """
        async with transaction(self._pool) as connection:
            await _SQL.lock_views(connection)
            views = await _list_views(connection, actor)
            view = _find(views, view_id)
            view_rules.check_change(view, actor)
            name, conditions = edit.name or view.name, edit.conditions or view.conditions
            events = []
            if name != view.name:
                others = [each for each in views if each.id != view_id]
                view_rules.check_name(others, name, shared=view.shared)
                events.append(AuditEvent.VIEW_RENAMED)
            if _to_json(conditions) != _to_json(view.conditions):
                events.append(AuditEvent.VIEW_EDITED)
            if events:
                row = await _SQL.edit_view(connection, id=view_id, name=name, conditions=_to_json(conditions))
                view = _to_view(row)
            for event in events:
                await _audit(connection, event, actor, view)
        return view

    async def delete(self, view_id: UUID, actor: str) -> SavedView:
        """Delete a view and return it.

        Raises `NotFoundError` if the view does not exist, and `ForbiddenError` for a team view of another
        author.
        """
        async with transaction(self._pool) as connection:
            await _SQL.lock_views(connection)
            view = _find(await _list_views(connection, actor), view_id)
            view_rules.check_change(view, actor)
            await _SQL.delete_view(connection, id=view_id)
            await _audit(connection, AuditEvent.VIEW_DELETED, actor, view)
        return view


async def _list_views(connection: Connection, actor: str) -> list[SavedView]:
    views = []
    async for row in _SQL.list_views(connection, actor=actor):
        try:
            views.append(_to_view(row))
        except ValidationError:  # saved by a newer version with a filter that this one does not know
            continue
    return views


def _find(views: list[SavedView], view_id: UUID) -> SavedView:
    view = next((each for each in views if each.id == view_id), None)
    if view is None:
        raise NotFoundError(gettext(NO_SUCH_VIEW))
    return view


def _to_json(conditions: LeadConditions) -> str:
    return conditions.model_dump_json(exclude_defaults=True)


def _to_view(row: Any) -> SavedView:
    conditions = LeadConditions.model_validate_json(row["conditions"])
    return SavedView.model_validate({**dict(row), "conditions": conditions})


async def _audit(connection: Connection, event: AuditEvent, actor: str, view: SavedView) -> None:
    await append_action(connection, event, actor, {"view_id": str(view.id), "shared": view.shared})
