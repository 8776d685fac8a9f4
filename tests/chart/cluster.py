"""A Kubernetes API with a few objects, for the templates' `lookup`.

It answers only what Helm asks when it renders with `--dry-run=server`: the version, the kinds, and reads.
"""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

Manifest = dict[str, Any]
# The kinds that the chart renders, by their API.
KINDS: Final = {
    "apps/v1": ("StatefulSet", "Deployment"),
    "v1": ("Service", "ConfigMap", "ServiceAccount", "Pod", "PersistentVolumeClaim"),
    "batch/v1": ("Job", "CronJob"),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "keda.sh/v1alpha1": ("ScaledObject", "TriggerAuthentication"),
}
# Helm changes only objects of its release.
OURS: Final = {"meta.helm.sh/release-name": "leads", "meta.helm.sh/release-namespace": "leads"}


def _plural(kind: str) -> str:
    return f"{kind.lower()}s".replace("ys", "ies")


def _discovery() -> Mapping[str, Manifest]:
    pages: dict[str, Manifest] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    groups = []
    for api, kinds in KINDS.items():
        resources = [
            {
                "name": _plural(kind),
                "singularName": kind.lower(),
                "namespaced": True,
                "kind": kind,
                "verbs": [],
            }
            for kind in kinds
        ]
        folder = "/apis" if "/" in api else "/api"
        pages[f"{folder}/{api}"] = {"kind": "APIResourceList", "groupVersion": api, "resources": resources}
        group, _, version = api.rpartition("/")
        if group:
            found = {"groupVersion": api, "version": version}
            groups.append({"name": group, "versions": [found], "preferredVersion": found})
    pages["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return pages


def _pages(objects: list[Manifest]) -> Mapping[str, Manifest]:
    pages = dict(_discovery())
    for api, kind in ((api, kind) for api, kinds in KINDS.items() for kind in kinds):
        folder = f"{'/apis' if '/' in api else '/api'}/{api}/namespaces/leads/{_plural(kind)}"
        items = [each for each in objects if each["kind"] == kind]
        pages[folder] = {"kind": f"{kind}List", "apiVersion": api, "items": items}
        for each in items:
            each["metadata"]["annotations"] = {**each["metadata"].get("annotations", {}), **OURS}
            pages[f"{folder}/{each['metadata']['name']}"] = each
    return pages


@contextmanager
def serving(objects: list[Manifest], folder: Path) -> Iterator[Path]:
    """Serve the objects of the namespace `leads`, and yield the path of a kubeconfig for them."""
    pages = _pages(objects)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
            body = json.dumps(page or missing).encode()
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield _write_kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def _write_kubeconfig(path: Path, url: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
