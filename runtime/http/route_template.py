"""The template of the route that a request matched, such as `/admin/leads/{lead_id}`.

Metrics and spans name the template, because a path may hold personal data.
"""

from typing import Any, Final

from starlette.routing import Mount, Route
from starlette.types import Scope

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD: Final = "_OTHER"
# Requested by machines every few seconds.
HEALTH_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics", "/internal/status"})


def method_of(scope: Scope) -> str:
    """Return the request's method. A client may send any word, so an unusual one is `_OTHER`."""
    method: str = scope["method"]
    return method if method in METHODS else OTHER_METHOD


def route_template(scope: Scope) -> str | None:
    """Return the template of the route that the app found for this scope, or None if it found none.

    Call it after the app: the app writes what it found into the scope.
    """
    # FastAPI's route has the path that its own router gave it; this context also has the prefixes of the
    # routers around it.
    context = scope.get("fastapi", {}).get("effective_route_context")
    if path := getattr(context or scope.get("route"), "path", None):
        return str(path)
    endpoint: Any = scope.get("endpoint")
    app = scope.get("app")
    if endpoint is None or app is None:
        return None
    # Starlette's own routes and mounts put only their endpoint into the scope.
    for route in app.router.routes:
        if isinstance(route, Route) and route.endpoint is endpoint:
            return route.path
        if isinstance(route, Mount) and route.app is endpoint:
            return f"{route.path}/{{path}}"
    return None
