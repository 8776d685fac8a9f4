"""`python -m deploy.generate.alerts`: check Prometheus' configuration and alert rules with promtool.

promtool does it. Where the machine has none, Debian's package of Prometheus is fetched and unpacked, not
installed: nothing is started and nobody needs to be root.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import typer

from deploy.generate.chart import tools_folder

FOLDER: Final = Path(__file__).parents[1] / "prometheus"
SECONDS: Final = 300


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS)


def find(program: str) -> str:
    """Find `promtool` or `prometheus`, or fetch both; end with a line that says what to install."""
    unpacked = tools_folder() / "prometheus" / "usr" / "bin" / program
    if found := shutil.which(program):
        return found
    if not unpacked.exists():
        _fetch(unpacked.parents[2])
    if not unpacked.exists():
        sys.exit(
            f"the alerts cannot be checked: there is no `{program}` on PATH, and apt-get could not fetch one."
            " Install Prometheus, which brings it: apt-get install prometheus, brew install prometheus, or a"
            " release from prometheus.io"
        )
    return str(unpacked)


def _fetch(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return
    print("Fetching Debian's package of Prometheus (once)", flush=True)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        if _run("apt-get", "download", "prometheus", cwd=here).returncode:
            _run("apt-get", "update", cwd=here)  # the lists of a fresh machine are empty; needs root
            _run("apt-get", "download", "prometheus", cwd=here)
        for package in here.glob("prometheus_*.deb"):
            folder.mkdir(parents=True, exist_ok=True)
            _run("dpkg", "-x", str(package), str(folder), cwd=here)


def main() -> None:
    """Check the configuration and the rules, and run the rules' tests."""
    promtool = find("promtool")
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = _run(promtool, *command, cwd=FOLDER)
        if done.returncode != 0:
            sys.exit(f"promtool {' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    print("Prometheus' configuration and the alerts are right, and every alert's tests pass")


if __name__ == "__main__":
    typer.run(main)
