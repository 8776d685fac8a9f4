"""What an upgrade does to objects that are already in the cluster.

Run by `make chart`; not collected by `make test`, which needs no Helm.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.generate.chart import CASES, CHART, RENDERED, manifests
from deploy.generate.files import ROOT
from tests.chart.cluster import Manifest, serving
from tests.chart.rendered_objects import Objects
from tests.chart.rendering import helm_template
from tests.chart.versions import previous_commit, render_both
from tests.contract.test_chart import component

CHECKPOINT = ("--set=secrets.audit=audit", "--set=flusher.checkpoint.enabled=true")
KEDA = "--set=keda.enabled=true"
# Who wrote `spec.replicas`.
HELM_3 = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
HELM_4 = {"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
HPA = {
    "manager": "kube-controller-manager",
    "operation": "Update",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}


def rendered(*options: str, kubeconfig: Path | None = None) -> list[Manifest]:
    text, error = helm_template(*options, kubeconfig=kubeconfig)
    assert not error
    return [each for each in yaml.safe_load_all(text) if each]


def workloads(*options: str) -> dict[str, Manifest]:
    """Return the Deployments and StatefulSets of an installation with these options, by their component."""
    return {
        component(each): each for each in rendered(*options) if each["kind"] in {"Deployment", "StatefulSet"}
    }


def upgrade_error(live: dict[str, Manifest], folder: Path, *options: str) -> str:
    with serving(list(live.values()), folder) as kubeconfig:
        return helm_template(*options, kubeconfig=kubeconfig)[1]


def replicas_after(live: dict[str, Manifest], folder: Path, *options: str, service: str = "persister") -> Any:
    with serving(list(live.values()), folder) as kubeconfig:
        objects = rendered(*options, kubeconfig=kubeconfig)
    [workload] = [
        each
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet"} and component(each) == service
    ]
    return workload["spec"].get("replicas")


def test_an_upgrade_without_changes_of_claims_is_rendered(tmp_path: Path) -> None:
    assert not upgrade_error(workloads(), tmp_path)
    assert not upgrade_error(
        workloads(), tmp_path, "--set=ingest.spool.size=1024Mi", "--set=ingest.replicas=5"
    )
    assert not upgrade_error(workloads(*CHECKPOINT), tmp_path, *CHECKPOINT)


def test_a_larger_spool_is_refused_with_the_commands_that_enlarge_it(tmp_path: Path) -> None:
    error = upgrade_error(workloads(), tmp_path, "--set=ingest.spool.size=2Gi")
    assert "ingest.spool.size: the volumes of leads-fastcore-ingest have 1Gi" in error
    assert '{"requests": {"storage": "2Gi"}}' in error
    assert "kubectl -n leads delete statefulset leads-fastcore-ingest --cascade=orphan" in error


def test_a_smaller_spool_is_refused(tmp_path: Path) -> None:
    error = upgrade_error(workloads("--set=ingest.spool.size=2Gi"), tmp_path)
    assert "ingest.spool.size: 1Gi is less than the 2Gi" in error
    assert "kubectl" not in error


def test_another_storage_class_is_refused(tmp_path: Path) -> None:
    error = upgrade_error(workloads(), tmp_path, "--set=ingest.spool.storageClassName=fast")
    assert "ingest.spool.storageClassName" in error
    error = upgrade_error(
        workloads(*CHECKPOINT), tmp_path, *CHECKPOINT, "--set=flusher.checkpoint.storageClassName=fast"
    )
    assert "flusher.checkpoint.storageClassName" in error


def test_another_name_is_refused_while_the_old_gateways_run(tmp_path: Path) -> None:
    live = workloads()
    error = upgrade_error(live, tmp_path, "--set=fullnameOverride=intake")
    assert "fullnameOverride: the gateways of this release are called leads-fastcore-ingest" in error
    live["ingest"]["spec"]["replicas"] = 0
    assert not upgrade_error(live, tmp_path, "--set=fullnameOverride=intake")


def test_another_label_in_selectors_is_refused(tmp_path: Path) -> None:
    same_name = ("--set=nameOverride=intake", "--set=fullnameOverride=leads-fastcore")
    error = upgrade_error(workloads(), tmp_path, *same_name)
    assert "nameOverride: the pods of leads-fastcore-admin are selected by" in error


def test_keda_keeps_the_replicas_that_run_when_it_is_switched_on(tmp_path: Path) -> None:
    live = workloads()
    live["persister"]["spec"]["replicas"] = 4
    for written_by in ([HELM_3], [HELM_4], []):
        live["persister"]["metadata"]["managedFields"] = written_by
        assert replicas_after(live, tmp_path, KEDA) == 4


@pytest.mark.parametrize(
    ("written_by", "replicas"),
    [
        # Helm 3 compares manifests: a field that disappears gets its default, 1.
        pytest.param([HELM_3, HPA], 5, id="helm 3"),
        # A server-side apply without the field leaves it to the HPA. Another value would be a conflict.
        pytest.param([HELM_4, HPA], None, id="helm 4"),
    ],
)
def test_replicas_of_the_hpa_stay(tmp_path: Path, written_by: list[Manifest], replicas: int | None) -> None:
    live = workloads(KEDA)
    live["persister"]["spec"]["replicas"] = 5
    live["persister"]["metadata"]["managedFields"] = written_by
    assert replicas_after(live, tmp_path, KEDA) == replicas


def test_the_flusher_keeps_its_replicas_when_its_kind_changes_with_keda(tmp_path: Path) -> None:
    for before, after in (((), CHECKPOINT), (CHECKPOINT, ())):
        live = workloads(*before)
        live["flusher"]["spec"]["replicas"] = 3
        assert replicas_after(live, tmp_path, KEDA, *after, service="flusher") == 3


def test_an_upgrade_does_not_end_a_migration_that_runs(tmp_path: Path) -> None:
    live = workloads()
    [job] = [each for each in rendered() if each["kind"] == "Job"]
    live["migrate"] = job | {"status": {"active": 1}}
    error = upgrade_error(live, tmp_path)
    assert "migrate: the job leads-fastcore-migrate of an earlier install or upgrade still runs" in error
    assert "kubectl -n leads wait job/leads-fastcore-migrate --for=condition=complete" in error
    for ended in ({"failed": 4}, {"succeeded": 1}):
        live["migrate"] = job | {"status": ended}
        assert not upgrade_error(live, tmp_path)


def test_the_volume_of_backups_may_only_grow(tmp_path: Path) -> None:
    backup = "--set=backup.enabled=true"
    live = {component(each): each for each in rendered(backup) if each["kind"] == "PersistentVolumeClaim"}
    live["backup"]["spec"]["storageClassName"] = "standard"
    assert not upgrade_error(live, tmp_path, backup)
    assert not upgrade_error(live, tmp_path, backup, "--set=backup.size=30Gi")
    error = upgrade_error(live, tmp_path, backup, "--set=backup.size=10Gi")
    assert "backup.size: 10Gi is less than the 20Gi of the volume leads-fastcore-backup" in error
    error = upgrade_error(live, tmp_path, backup, "--set=backup.storageClassName=fast")
    assert "backup.storageClassName: the volume leads-fastcore-backup has the class standard" in error
    other = ("--set=backup.existingClaim=nas", "--set=backup.size=10Gi")
    assert not upgrade_error(live, tmp_path, backup, *other)


@pytest.mark.parametrize("release", ["1leads", "my.leads"])
def test_a_release_whose_name_no_service_can_have_is_refused(release: str) -> None:
    _, error = helm_template(release=release)
    assert f"fullnameOverride: {release}-fastcore cannot be the name of a Service" in error
    assert not helm_template("--set=fullnameOverride=leads", release=release)[1]


@pytest.mark.parametrize("tag", [f"1.2.3-{'a' * 100}", "_1.2.3", f"1.2.3-{'a' * 56}."])
def test_every_tag_of_an_image_gives_a_label_that_kubernetes_accepts(tag: str) -> None:
    for each in rendered(f"--set-string=image.tag={tag}"):
        if version := each["metadata"]["labels"].get("app.kubernetes.io/version"):
            assert re.fullmatch("[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", version)
        if each["kind"] == "Deployment":
            [container] = each["spec"]["template"]["spec"]["containers"]
            assert container["image"] == f"fastcore:{tag}"


def test_a_new_installation_leaves_replicas_to_keda() -> None:
    assert "replicas" not in workloads(KEDA)["persister"]["spec"]
    assert workloads()["persister"]["spec"]["replicas"] == 2


def of_previous_version(path: Path) -> str:
    command = ["git", "show", f"{previous_commit()}:{path.relative_to(ROOT)}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout


def test_an_upgrade_from_the_previous_version_changes_nothing_immutable(tmp_path: Path) -> None:
    earlier = {
        component(each): each
        for each in manifests(of_previous_version(RENDERED / "minimal.yaml"))
        if each["kind"] in {"Deployment", "StatefulSet"}
    }
    for name, workload in workloads().items():
        mutable = {"replicas", "template", "strategy", "updateStrategy"}
        before, after = ({**each["spec"]} for each in (earlier[name], workload))
        assert {key: before[key] for key in before.keys() - mutable} == {
            key: after[key] for key in after.keys() - mutable
        }
    assert not upgrade_error(earlier, tmp_path)


def test_reused_values_of_the_previous_version_are_rendered(tmp_path: Path) -> None:
    # With --reuse-values, Helm takes the defaults of the earlier chart: new keys are missing.
    chart = tmp_path / "fastcore"
    shutil.copytree(CHART, chart)
    (chart / "values.yaml").write_text(of_previous_version(CHART / "values.yaml"), encoding="utf-8")
    for case in CASES:
        text, error = helm_template(
            "--set=prometheusRule.enabled=true", values=CHART / f"ci/{case}-values.yaml", chart=chart
        )
        assert not error
        assert "kind: PrometheusRule" in text


def test_the_upgrade_under_load_can_run_all_that_is_rendered() -> None:
    for text in render_both().values():
        objects = Objects.parse(text)
        assert [job.metadata.name for job in objects.jobs] == ["leads-fastcore-migrate"]
        assert len(list(objects.workloads)) == 6


@pytest.mark.parametrize(
    ("rendered", "changed"),
    [
        ("restartPolicy: Never", "restartPolicy: OnFailure"),
        ("terminationGracePeriodSeconds: 60", "minReadySeconds: 60"),
        ("type: RollingUpdate", "type: Recreate"),
        ("emptyDir: ", "hostPath: "),
        ("kind: Job", "kind: CronJob"),
    ],
)
def test_the_upgrade_under_load_refuses_what_it_cannot_run(rendered: str, changed: str) -> None:
    text = (RENDERED / "minimal.yaml").read_text(encoding="utf-8")
    assert rendered in text
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's errors, too
        Objects.parse(text.replace(rendered, changed))
