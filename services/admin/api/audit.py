"""The routes of the audit log: its entries, and the checkpoint that seals them."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse

from services.admin.adapters import CurrentAdapters
from services.admin.api.problems import documented
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditPage
from services.admin.texts import gettext

router = APIRouter(tags=["audit"])
MAX_SIZE: Final = 2**63 - 1


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


@router.get(
    "/audit/consistency",
    summary="The proof that the newest checkpoint continues an earlier one",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "A consistency proof (RFC 6962), as C2SP tlog-witness writes it."},
        **documented(404),
    },
)
async def get_consistency(
    old_size: Annotated[int, Query(ge=0, le=MAX_SIZE, description="The entries of the earlier checkpoint.")],
    adapters: CurrentAdapters,
) -> PlainTextResponse:
    """Return `old` and the size, the hashes of the proof in base64, an empty line, and the newest checkpoint.

    404 if fewer entries are sealed: then the log does not continue the earlier checkpoint.
    """
    proof = await adapters.audit.prove_consistency(old_size)
    if proof is None:
        raise NotFoundError(gettext("Fewer entries are sealed."))
    return PlainTextResponse(proof, headers={"Cache-Control": "no-store"})


@router.get(
    "/audit/{entry_id}/proof",
    summary="The proof that the newest checkpoint contains an entry",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "Two lines of JSON: the checkpoint, and the entry with its proof."},
        **documented(404),
    },
)
async def get_entry_proof(
    entry_id: Annotated[int, Path(ge=-MAX_SIZE, le=MAX_SIZE)], adapters: CurrentAdapters
) -> PlainTextResponse:
    """Return an entry as it was sealed, with its inclusion proof (RFC 6962) and the newest checkpoint.

    404 if the entry is not sealed yet, or was archived.
    """
    proof = await adapters.audit.prove_entry(entry_id)
    if proof is None:
        raise NotFoundError(gettext("This entry is not sealed."))
    return PlainTextResponse(proof, headers={"Cache-Control": "no-store"})
