"""`python -m deploy.generate.alerts`: check Prometheus' configuration and alert rules with promtool.

With `--runbooks URL` it prints the rules instead, with links to runbooks below that URL.
If promtool is not installed, this command downloads and unpacks Debian's package of Prometheus. The package
is not installed, so the command needs no root.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.generate.chart import tools_folder

RUNBOOKS: Final = "http://localhost:8000/admin/runbooks"
"""The runbooks in the rules' links: pages of the admin service that `make up` starts."""

FOLDER: Final = Path(__file__).parents[1] / "prometheus"
SECONDS: Final = 300


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS)


def find_program(program: str) -> str:
    """Return the path of `promtool` or `prometheus`. Downloads both if needed, and exits if that fails."""
    unpacked = tools_folder() / "prometheus" / "usr" / "bin" / program
    if installed := shutil.which(program):
        return installed
    if not unpacked.exists():
        _download(unpacked.parents[2])
    if not unpacked.exists():
        sys.exit(
            f"the alerts cannot be checked: `{program}` is not on PATH, and apt-get could not download it."
            " Install Prometheus: apt-get install prometheus, brew install prometheus, or a release from"
            " prometheus.io"
        )
    return str(unpacked)


def _download(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return
    print("Downloading Debian's package of Prometheus (once)", flush=True)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        if _run("apt-get", "download", "prometheus", cwd=here).returncode:
            _run("apt-get", "update", cwd=here)  # the package lists of a new machine are empty; needs root
            _run("apt-get", "download", "prometheus", cwd=here)
        for package in here.glob("prometheus_*.deb"):
            folder.mkdir(parents=True, exist_ok=True)
            _run("dpkg", "-x", str(package), str(folder), cwd=here)


def rules_with(runbooks: str) -> str:
    """Return the alert rules with links to the runbooks below the URL `runbooks`."""
    rules = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    return rules.replace(RUNBOOKS, runbooks.rstrip("/"))


def main(
    runbooks: Annotated[
        str, typer.Option(help="Only print the rules, with links to runbooks below this URL.")
    ] = "",
) -> None:
    """Check the configuration and the rules, then run the rules' tests. Exits at the first failure."""
    if runbooks:
        typer.echo(rules_with(runbooks), nl=False)
        return
    promtool = find_program("promtool")
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = _run(promtool, *command, cwd=FOLDER)
        if done.returncode != 0:
            sys.exit(f"promtool {' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    print("Prometheus' configuration and the alert rules are valid, and the tests of every alert pass")


if __name__ == "__main__":
    typer.run(main)
