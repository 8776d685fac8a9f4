"""The public status of a site, signed. It needs no token, and exists only where a site switches it on."""

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from runtime.failures import DependencyUnavailable
from runtime.sites.model import Sites
from runtime.transparency_log.signed_note import SigningKey, sign_note
from services.admin.adapters import CurrentAdapters
from services.admin.dashboard.cache import Cache
from services.admin.rules.errors import NotFoundError
from services.admin.rules.public_status import public_status
from services.admin.schemas.canary import CanaryStatus
from services.admin.texts import gettext

router = APIRouter(include_in_schema=False)
# Anybody may read it: the database is read once in this time.
MAX_AGE_SECONDS: Final = 10.0


@router.get("/admin/canary/public/{site}")
async def get_public_status(site: str, request: Request, adapters: CurrentAdapters) -> JSONResponse:
    """Return the site's status, and a signed note (C2SP) whose text is the same status.

    404 unless the site has `public_status = true` and the admin service has a key.
    """
    sites: Sites = request.app.state.sites
    key: SigningKey | None = request.app.state.status_key
    if key is None or not sites.get(site).public_status:
        raise NotFoundError(gettext("This site has no public status."))
    cache: Cache = request.app.state.cache

    async def load() -> CanaryStatus | None:
        # Also cached: while the database does not answer, each request would wait for it.
        try:
            return await adapters.canaries()
        except DependencyUnavailable:
            return None

    canary = await cache.get_or_load("public canary", load, MAX_AGE_SECONDS)
    status = public_status(site, canary, datetime.now(UTC))
    text = status.model_dump_json()
    body = {**status.model_dump(mode="json"), "note": sign_note(f"{text}\n", [key])}
    headers = {"Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}
    return JSONResponse(body, headers=headers)
