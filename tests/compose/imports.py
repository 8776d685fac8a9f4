"""Runs in the production image: imports each module of FASTCore, and prints what fails."""

import importlib
import importlib.util
import json
import pkgutil

ABSENT = ("aiosmtpd", "supervisor", "psutil", "pytest")

failed, modules = [], 0
for root in ("contracts", "runtime", "services", "deploy"):
    for found in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
        if found.name.endswith(".__main__"):
            continue
        modules += 1
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError:
            failed.append(found.name)
installed = [name for name in ABSENT if importlib.util.find_spec(name)]
print(json.dumps({"modules": modules, "failed": failed, "installed": installed}))  # noqa: T201 - its answer
