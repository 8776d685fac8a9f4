"""The routes of the audit log: its entries, and the checkpoint that seals them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from services.admin.adapters import CurrentAdapters
from services.admin.api.problems import documented
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditPage
from services.admin.texts import gettext

router = APIRouter(tags=["audit"])


@router.get("/audit", summary="Search the audit log, newest first")
async def list_audit(filters: Annotated[AuditFilter, Query()], adapters: CurrentAdapters) -> AuditPage:
    """Return the audit entries that match all parameters.

    Send the response's `next_cursor` as `cursor` to get the next page.
    """
    return await adapters.audit.list_entries(filters)


@router.get(
    "/audit/checkpoint",
    summary="The newest signed checkpoint",
    response_class=PlainTextResponse,
    responses={200: {"description": "A signed note (C2SP tlog-checkpoint)."}, **documented(404)},
)
async def get_checkpoint(adapters: CurrentAdapters) -> PlainTextResponse:
    """Return the newest checkpoint of the sealed audit log. Store it elsewhere: it reveals later changes.

    404 if the log is not sealed.
    """
    seal = await adapters.audit.read_seal()
    if seal is None:
        raise NotFoundError(gettext("The audit log is not sealed."))
    return PlainTextResponse(seal.note, headers={"Cache-Control": "no-store"})
