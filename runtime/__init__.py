"""How a process starts, is monitored and stops, and the infrastructure that several services share."""

import os
from typing import Final

VERSION: Final = "0.1.0"
"""The version of the product, as in pyproject.toml."""

REVISION: Final = os.environ.get("FASTCORE_REVISION") or "unknown"
"""The commit that the code was built from. The image sets the variable; it is no setting."""
