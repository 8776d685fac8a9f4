"""Keeps httpcore from searching for a module that is not installed, several times a request.

Seen with httpcore 1.0.9, httpx 0.28.1 and anyio 4.16.0.

For each lock and event of a request, httpcore imports `sniffio` to find out which event loop runs. httpcore
does not require it, and Python does not remember that a module is missing: it looks into each folder of
`sys.path` again. That takes 75 us, seven times for a request over a new connection. Remove this module when
httpcore finds out once, or when a locked package requires `sniffio`.
"""

import sys
from importlib.util import find_spec
from typing import Any, Final, cast

_MODULE: Final = "sniffio"


def remember_missing_module() -> None:
    """Let each later `import sniffio` fail at once, if the module is not installed."""
    if find_spec(_MODULE) is None:
        cast("dict[str, Any]", sys.modules)[_MODULE] = None
