"""`python -m deploy.release check | set VERSION | build`: the steps of a release that need no registry.

`.github/workflows/release.yml` runs them, and then publishes. docs/releasing.md explains a release.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.release.artifacts import (
    pack_kit,
    package_chart,
    write_checksums,
    write_kit_sbom,
    write_python_sbom,
)
from deploy.release.changelog import UNRELEASED, read_notes
from deploy.release.versions import ROOT, find_differences, read_version, write_version

CHANGELOG: Final = ROOT / "CHANGELOG.md"
cli: Final = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@cli.command()
def check(
    tag: Annotated[str, typer.Option(help="The tag of the release, such as v1.2.3.")] = "",
) -> None:
    """Check that all places have one version, and that the changelog says what an operator must do."""
    problems, version = find_differences(), read_version()
    if tag and tag != f"v{version}":
        problems.append(f"the tag is {tag}, and the version {version}: expected v{version}")
    try:
        read_notes(CHANGELOG, version if tag else UNRELEASED)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        sys.exit("\n".join(problems))
    typer.echo(f"the version is {version} everywhere, and the changelog says what an operator must do")


@cli.command("set")
def set_version(version: str) -> None:
    """Write the version into every file that has it. Then run `make docs` and `make chart write=1`."""
    try:
        write_version(version)
    except ValueError as error:
        sys.exit(str(error))
    typer.echo(f"the version is {version}; now run: make docs && make chart write=1")


@cli.command()
def build(
    out: Annotated[Path, typer.Option(help="The folder of the files. It is emptied first.")] = Path("dist"),
    tag: Annotated[str, typer.Option(help="The tag of the release. Without it, this is a dry run.")] = "",
) -> None:
    """Build the chart, the kit, their SBOMs, the notes and the checksums."""
    check(tag)
    out = out.resolve()  # npm and helm run in folders of their own
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    kit = pack_kit(out)
    write_kit_sbom(kit, out / "fastcore-site.cdx.json")
    write_python_sbom(out / "fastcore-python.cdx.json")
    package_chart(out)
    notes = read_notes(CHANGELOG, read_version() if tag else UNRELEASED)
    (out / "notes.md").write_text(notes, encoding="utf-8")
    typer.echo(write_checksums(out).read_text(encoding="utf-8"), nl=False)


if __name__ == "__main__":
    cli()
