"""`python -m deploy.generate.chart [--check]`: lint and render the Helm chart, and validate the result.

The result is committed in deploy/kubernetes/rendered. So the contract tests need no Helm, and the diff of a
commit shows how the rendered objects change. The command builds Helm from its Go module, or uses an installed
Helm if there is no Go. `make check` uses the option `--at-hand`, which builds and downloads nothing.
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
CASES: Final = ("minimal", "full", "operators")
HELM: Final = "helm.sh/helm/v4/cmd/helm@v4.3.1"
KUBERNETES: Final = "1.37"
# The CustomResourceDefinitions by API group: Go module, and the file in it.
CRDS: Final = {
    "keda.sh": (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases/keda.sh_{plural}.yaml",
    ),
    "gateway.networking.k8s.io": (
        "sigs.k8s.io/gateway-api@v1.6.3",
        "config/crd/standard/gateway.networking.k8s.io_{plural}.yaml",
    ),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
    ),
}


def tools_folder() -> Path:
    """Return the cache folder for tools, beside the cache of Kafka's jars."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastcore" / "tools"


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=1200
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def built_helm() -> Path:
    """Return the path at which `find_helm` stores the Helm that it builds."""
    return tools_folder() / HELM.rpartition("@")[2] / "helm"


def find_helm() -> str:
    """Return the path of the Helm program.

    The variable FASTCORE_HELM may name one. Otherwise, the first call builds the pinned version from its Go
    module, which takes two minutes. If Go is not installed, returns the path of the installed Helm. Exits if
    neither Helm nor Go is installed.
    """
    if named := os.environ.get("FASTCORE_HELM"):
        return named
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
    """Lint the chart with the values file of `case`, and return the rendered text.

    `more` are further options of `helm template`.
    """
    values = str(CHART / "ci" / f"{case}-values.yaml")
    _run(helm, "lint", "--strict", "--quiet", str(CHART), "--values", values)
    return _run(helm, "template", "leads", str(CHART), "--namespace", "leads", "--values", values, *more)


def manifests(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a rendered chart."""
    for document in yaml.safe_load_all(text):
        if document:
            yield document


def validate(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield an error if the object violates the schema of its kind, for example with an unknown field.

    The kind must be one that Kubernetes itself defines.
    """
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{name}: {error.message}"


def is_custom(manifest: dict[str, Any]) -> bool:
    """Return True if the object's kind is defined by a CustomResourceDefinition, not by Kubernetes."""
    return manifest["apiVersion"].partition("/")[0] in CRDS


@cache
def read_crd_schema(group: str, kind: str) -> dict[str, Any]:
    """Return the schema of a custom resource's kind, from the Go module that defines it.

    Exits if Go is not installed.
    """
    module, path = CRDS[group]
    if not (go := shutil.which("go")):
        sys.exit(f"the schema of {kind} comes from the Go module {module}, and `go` is not on PATH")
    folder = Path(json.loads(_run(go, "mod", "download", "-json", module))["Dir"])
    crd = yaml.safe_load((folder / path.format(plural=f"{kind.lower()}s")).read_text(encoding="utf-8"))
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def forbid_unknown_fields(schema: Any) -> Any:
    """Return a copy of the schema that refuses every field that the schema does not name.

    The API server would silently drop such fields.
    """
    if isinstance(schema, list):
        return [forbid_unknown_fields(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: forbid_unknown_fields(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def validate_custom(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield an error for each violation of the schema of a custom resource (see `is_custom`)."""
    schema = forbid_unknown_fields(
        read_crd_schema(manifest["apiVersion"].partition("/")[0], manifest["kind"])
    )
    schema["properties"]["metadata"] = {"type": "object"}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
        yield f"{manifest['kind']} {manifest['metadata']['name']}: {error.json_path}: {error.message}"


def check_links(rules: dict[str, Any]) -> Iterator[str]:
    """Yield an error for each alert that does not link to the runbooks of the installation's own host."""
    for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
        expected = f"https://leads.example.com/admin/runbooks/{rule['alert']}"
        if rule["annotations"]["runbook_url"] != expected:
            yield f"{rule['alert']} links to {rule['annotations']['runbook_url']}, not to {expected}"


def check_without_tools() -> Iterator[str]:
    """Yield the problems that can be found without building or downloading anything."""
    for case in CASES:
        rendered = (RENDERED / f"{case}.yaml").read_text(encoding="utf-8")
        for manifest in manifests(rendered):
            if not is_custom(manifest):
                yield from validate(manifest)
        if built_helm().exists() and render(str(built_helm()), case) != rendered:
            yield f"{case}.yaml is not what the chart renders: run make chart write=1"


def check_or_write(*, write: bool) -> Iterator[str]:
    """Yield the problems of the chart and of the rendered files.

    With `write`, write the rendered files instead of comparing them with the chart.
    """
    helm = find_helm()
    for case in CASES:
        text, path = render(helm, case), RENDERED / f"{case}.yaml"
        # Validate the alerts here only: they are generated from deploy/prometheus, so they are not written.
        for manifest in manifests(render(helm, case, "--set", "prometheusRule.enabled=true")):
            yield from validate_custom(manifest) if is_custom(manifest) else validate(manifest)
            if manifest["kind"] == "PrometheusRule":
                yield from check_links(manifest)
        if write:
            RENDERED.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.name} is not what the chart renders: run make chart write=1"


def main(
    check: Annotated[
        bool, typer.Option(help="Write nothing. Fail if the rendered files are out of date.")
    ] = False,
    at_hand: Annotated[bool, typer.Option(help="Like --check, but build and download nothing.")] = False,
) -> None:
    """Lint, render and validate the chart, and write the result."""
    if problems := list(check_without_tools() if at_hand else check_or_write(write=not check)):
        sys.exit("\n".join(problems))
    if not at_hand:
        print(f"the chart renders {', '.join(CASES)} and every object matches its schema")
    elif built_helm().exists():
        print("the rendered chart is up to date, and Kubernetes' own objects match their schemas")
    else:
        print("the rendered chart matches Kubernetes' schemas; without Helm it was not rendered: make chart")


if __name__ == "__main__":
    typer.run(main)
