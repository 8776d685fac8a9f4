"""Builds the files of a release that need no image registry: chart, kit, bills of materials (SBOM)."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.generate.chart import CHART, find_helm
from deploy.release.versions import ROOT

SECONDS: Final = 300
KIT: Final = "@fastcore/site"


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program and return what it prints. Exits with its last lines if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}".rstrip())
    return done.stdout


def package_chart(folder: Path) -> Path:
    """Package the chart, and return the archive's path."""
    run(find_helm(), "package", str(CHART), "--destination", str(folder))
    (path,) = folder.glob("fastcore-[0-9]*.tgz")
    return path


def pack_kit(folder: Path) -> Path:
    """Build and pack the kit for websites, and return the archive's path."""
    run("npm", "pack", "--silent", "--workspace", "kit", "--pack-destination", str(folder), cwd=ROOT / "site")
    (path,) = folder.glob("fastcore-site-*.tgz")
    return path


def write_kit_sbom(kit: Path, path: Path) -> None:
    """Write the CycloneDX SBOM of the packed kit: what a website gets that installs it."""
    with tempfile.TemporaryDirectory() as name:
        project = {"name": "site", "version": "0.0.0", "dependencies": {KIT: f"file:{kit.resolve()}"}}
        (Path(name) / "package.json").write_text(json.dumps(project), encoding="utf-8")
        options = ("--package-lock-only", "--omit=dev", "--omit=peer")
        run("npm", "install", *options, "--ignore-scripts", "--no-audit", "--no-fund", cwd=Path(name))
        text = run("npm", "sbom", *options, "--sbom-format=cyclonedx", cwd=Path(name))
    sbom: dict[str, Any] = json.loads(text)
    (own,) = (each for each in sbom["components"] if each["purl"].startswith("pkg:npm/%40fastcore/site@"))
    sbom["components"].remove(own)
    # The path of this machine's file is neither a source nor a version.
    own = {key: value for key, value in own.items() if key not in ("externalReferences", "properties")}
    root = sbom["metadata"]["component"]["bom-ref"]
    sbom["metadata"]["component"] = {**own, "type": "library"}
    sbom["dependencies"] = [each for each in sbom["dependencies"] if each["ref"] != root]
    path.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
    if error := JsonStrictValidator(SchemaVersion.V1_5).validate_str(path.read_text(encoding="utf-8")):
        sys.exit(f"{path.name} is no valid CycloneDX document: {error}")


def write_python_sbom(path: Path) -> None:
    """Write the CycloneDX SBOM of the locked Python packages that the image has. The tool validates it."""
    run(
        *(sys.executable, "-m", "cyclonedx_py", "requirements", "requirements.lock"),
        *("--pyproject", "pyproject.toml", "--mc-type", "application", "--output-reproducible"),
        *("--output-file", str(path)),
    )


def write_checksums(folder: Path) -> Path:
    """Write SHA256SUMS for all files of the folder, in the format of `sha256sum --check`."""
    path = folder / "SHA256SUMS"
    files = sorted(each for each in folder.iterdir() if each != path)
    lines = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in files]
    path.write_text("".join(lines), encoding="utf-8")
    return path
