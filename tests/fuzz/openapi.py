"""Runs Schemathesis on the OpenAPI document of a service."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.embedded.settings import ROOT
from tests.fuzz import schemathesis_hooks
from tests.fuzz.checker import AcceptedLeads

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    schemathesis_hooks.keeps_promises.__name__,
)
# The last requests and the report come after `--max-time`.
GRACE_SECONDS: Final = 120


@dataclass(frozen=True)
class Api:
    """A service and how to call it. `parameters` replaces generated parameters, as `path.NAME`."""

    name: str
    url: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def run_schemathesis(api: Api, accepted: AcceptedLeads, folder: Path, seconds: int, seed: int) -> bool:
    """Fuzz a service for so many seconds. Return False if a check failed; Schemathesis prints the request."""
    config = folder / f"schemathesis-{api.name}.toml"
    lines = [f'"{name}" = "{value}"' for name, value in api.parameters.items()]
    config.write_text("\n".join(["[cache]", "enabled = false", "[parameters]", *lines, ""]))
    headers = {"Authorization": f"Bearer {api.token}", **api.headers}
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"),
        *("run", str(ROOT / "docs" / "openapi" / f"{api.name}.json"), "--url", api.url),
        *("--max-time", str(seconds), "--seed", str(seed), "--checks", ",".join(CHECKS)),
        *("--generation-database", "none", "--suppress-health-check", "all", "--warnings", "off"),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__,
        schemathesis_hooks.ACCEPTED_VARIABLE: str(accepted.path),
    }
    return not subprocess.run(
        command, cwd=ROOT, env=environment, timeout=seconds + GRACE_SECONDS, check=False
    ).returncode
