"""The doctor's result for a service that is ready, but warns."""

from typing import Any

from deploy.cli.doctor.dependencies import _warnings
from services.admin.schemas.system import PartHealth


def test_a_part_that_works_and_has_a_reason_is_a_warning() -> None:
    parts: dict[str, Any] = {
        "database": {"ok": True, "reason": ""},
        "sites_file": {"ok": True, "reason": "warning: sites.toml: is not TOML"},
        "smtp": {"ok": False, "reason": "away"},
    }
    assert list(_warnings(PartHealth(state="up", parts=parts))) == [
        "sites_file: warning: sites.toml: is not TOML"
    ]
    assert list(_warnings(PartHealth(state="up", parts=None))) == []
