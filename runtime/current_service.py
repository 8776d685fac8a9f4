"""The service that the current task works for: one process may run several services.

Each service's app is created in a context of its own, and its tasks inherit that context. So logs, metrics
and spans are attributed to the right service.
"""

from contextvars import ContextVar
from typing import Final

_NAME: Final[ContextVar[str]] = ContextVar("fastcore_service", default="")


def set_current_service(name: str) -> None:
    """Attribute this context to the service `name`, with all tasks that it starts from now on."""
    _NAME.set(name)


def current_service() -> str:
    """Return the service's name, or an empty text outside of any service, as in a thread."""
    return _NAME.get()
