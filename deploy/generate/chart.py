"""`python -m deploy.generate.chart [--check]`: lint and render the Helm chart, and check it against schemas.

What it renders stands in deploy/kubernetes/rendered, so that a change of the chart shows what it does,
and so that the contract tests need no Helm. Helm is built from its Go module where the machine has none;
`--at-hand`, for `make check`, builds and fetches nothing.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import jsonschema
import kubernetes_validate
import typer
import yaml

FOLDER: Final = Path(__file__).parents[1] / "kubernetes"
CHART: Final = FOLDER / "fastcore"
RENDERED: Final = FOLDER / "rendered"
CASES: Final = ("minimal", "full")
HELM: Final = "helm.sh/helm/v4/cmd/helm@v4.3.1"
KUBERNETES: Final = "1.37"
# Where the definitions of what is not Kubernetes' own are: Go module, file in it.
DEFINITIONS: Final = {
    "keda.sh": (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases/keda.sh_{plural}.yaml",
    ),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
    ),
}


def tools_folder() -> Path:
    """Name the folder for tools that we build; beside Kafka's jars."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcore" / "tools"


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=1200
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def built_helm() -> Path:
    """Name the place of the Helm that we build."""
    return tools_folder() / HELM.rpartition("@")[2] / "helm"


def find_helm() -> str:
    """Find Helm, or build the pinned one from its Go module: two minutes, once."""
    built = built_helm()
    if built.exists():
        return str(built)
    if not (go := shutil.which("go")):
        if helm := shutil.which("helm"):
            return helm
        sys.exit(
            "the chart cannot be checked: neither `helm` nor `go` (1.26 or newer) is on PATH."
            " Install one of them; the tests check deploy/kubernetes/rendered without either"
        )
    print("Building Helm from its Go module (a few minutes, once)", flush=True)
    built.parent.mkdir(parents=True, exist_ok=True)
    _run(go, "install", HELM, GOBIN=str(built.parent), CGO_ENABLED="0")
    return str(built)


def render(helm: str, case: str, *more: str) -> str:
    """Lint and render the chart with the values of a case, and more of them."""
    values = str(CHART / "ci" / f"{case}-values.yaml")
    _run(helm, "lint", "--strict", "--quiet", str(CHART), "--values", values)
    return _run(helm, "template", "leads", str(CHART), "--namespace", "leads", "--values", values, *more)


def manifests(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a rendering."""
    for document in yaml.safe_load_all(text):
        if document:
            yield document


def problems(manifest: dict[str, Any]) -> Iterator[str]:
    """Say what Kubernetes' own schemas have against an object; unknown fields count."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{name}: {error.message}"


def is_custom(manifest: dict[str, Any]) -> bool:
    """Say whether an object is of a kind that is not Kubernetes' own."""
    return manifest["apiVersion"].partition("/")[0] in DEFINITIONS


@cache
def definition(group: str, kind: str) -> dict[str, Any]:
    """Read the schema of a custom kind from the Go module of those who define it."""
    module, path = DEFINITIONS[group]
    if not (go := shutil.which("go")):
        sys.exit(f"the schema of {kind} comes from the Go module {module}, and `go` is not on PATH")
    folder = Path(json.loads(_run(go, "mod", "download", "-json", module))["Dir"])
    crd = yaml.safe_load((folder / path.format(plural=f"{kind.lower()}s")).read_text(encoding="utf-8"))
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """Refuse unknown fields wherever fields are listed, as the API server would prune them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def custom_problems(manifest: dict[str, Any]) -> Iterator[str]:
    """Say what the definition of a custom kind has against an object."""
    schema = closed(definition(manifest["apiVersion"].partition("/")[0], manifest["kind"]))
    schema["properties"]["metadata"] = {"type": "object"}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
        yield f"{manifest['kind']} {manifest['metadata']['name']}: {error.json_path}: {error.message}"


def examine_at_hand() -> Iterator[str]:
    """Say what is wrong as far as it can be seen without building or fetching anything."""
    for case in CASES:
        written = (RENDERED / f"{case}.yaml").read_text(encoding="utf-8")
        for manifest in manifests(written):
            if not is_custom(manifest):
                yield from problems(manifest)
        if built_helm().exists() and render(str(built_helm()), case) != written:
            yield f"{case}.yaml is not what the chart renders: run make chart write=1"


def examine(*, write: bool) -> Iterator[str]:
    """Say what is wrong with the chart, or with what stands rendered of it; or write that anew."""
    helm = find_helm()
    for case in CASES:
        text, path = render(helm, case), RENDERED / f"{case}.yaml"
        # The alerts are checked and not written: they stand in deploy/prometheus, and change by themselves.
        for manifest in manifests(render(helm, case, "--set", "prometheusRule.enabled=true")):
            yield from custom_problems(manifest) if is_custom(manifest) else problems(manifest)
        if write:
            RENDERED.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.name} is not what the chart renders: run make chart write=1"


def main(
    check: Annotated[bool, typer.Option(help="Write nothing; fail where the rendering has drifted.")] = False,
    at_hand: Annotated[bool, typer.Option(help="The same, but build and fetch nothing for it.")] = False,
) -> None:
    """Lint, render and check the chart; write what it renders."""
    if found := list(examine_at_hand() if at_hand else examine(write=not check)):
        sys.exit("\n".join(found))
    if not at_hand:
        print(f"the chart renders {', '.join(CASES)} and every object fits its schema")
    elif built_helm().exists():
        print("the chart renders what is written, and what is Kubernetes' own fits its schema")
    else:
        print("what the chart rendered fits Kubernetes' schemas; no Helm to render it anew: make chart")


if __name__ == "__main__":
    typer.run(main)
