"""The rendered Helm chart matches the code: names of settings, ports, paths, drain times."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import topics
from deploy.generate.chart import CASES, CHART, RENDERED, check_without_tools, is_custom, manifests, validate
from deploy.generate.docs import env_example
from runtime.settings import Http
from services.ingest.settings import Settings as Ingest
from services.notifier.settings import Settings as Notifier
from services.roles import PORTS

SETTINGS = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", env_example(), re.MULTILINE))
# Variables that uvicorn reads.
SETTINGS |= {"FORWARDED_ALLOW_IPS"}
SECRET = re.compile("TOKEN|PASSWORD|DATABASE_URL|SASL_USERNAME|SMTP_USER")
WORKLOADS = ("Deployment", "StatefulSet", "Job")

Manifest = dict[str, Any]


def rendered(case: str) -> list[Manifest]:
    return list(manifests((RENDERED / f"{case}.yaml").read_text(encoding="utf-8")))


@pytest.fixture(params=CASES)
def chart(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


def of_kind(chart: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in chart if each["kind"] in kinds]


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pod(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def containers(manifest: Manifest) -> Iterator[Manifest]:
    yield from pod(manifest).get("initContainers", [])
    yield from pod(manifest)["containers"]


def services(chart: list[Manifest]) -> dict[str, Manifest]:
    return {component(each): each for each in of_kind(chart, "Deployment", "StatefulSet")}


def environment(container: Manifest) -> dict[str, str]:
    """Return the value of each variable, or the Secret that contains it."""
    return {
        each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"]["name"]
        for each in container["env"]
    }


def test_every_object_fits_the_schema_of_its_kind(chart: list[Manifest]) -> None:
    assert [problem for each in chart if not is_custom(each) for problem in validate(each)] == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    broken = services(rendered("full"))["admin"]
    pod(broken)["containers"][0]["livenessPrope"] = {}
    assert list(validate(broken))


def test_make_check_finds_what_kubernetes_refuses_where_there_is_no_helm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.generate.chart.RENDERED", tmp_path)
    monkeypatch.setattr("deploy.generate.chart.built_helm", lambda: tmp_path / "none")
    for case in CASES:
        text = (RENDERED / f"{case}.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{case}.yaml").write_text(text, encoding="utf-8")
    assert list(check_without_tools()) == []
    (tmp_path / "full.yaml").write_text(text.replace("livenessProbe", "livenessPrope"), encoding="utf-8")
    assert {problem.partition(" ")[0] for problem in check_without_tools()} == {"Deployment", "StatefulSet"}


def test_each_service_runs_as_its_role_on_its_port(chart: list[Manifest]) -> None:
    found = services(chart)
    assert found.keys() == PORTS.keys()
    for name, manifest in found.items():
        [container] = containers(manifest)
        assert container["command"] == ["python", "-m", "services", name]
        assert container["ports"] == [{"name": "http", "containerPort": PORTS[name]}]
        probes = [
            container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
        ]
        assert probes == ["/livez", "/livez", "/readyz"]
    assert {component(each) for each in of_kind(chart, "PodDisruptionBudget")} == PORTS.keys()


def test_every_variable_is_a_setting(chart: list[Manifest]) -> None:
    for manifest in of_kind(chart, *WORKLOADS):
        for container in containers(manifest):
            assert environment(container).keys() <= SETTINGS


def test_no_secret_has_a_value_and_only_services_that_need_it_get_it(chart: list[Manifest]) -> None:
    services_of: dict[str, set[str]] = {}
    for manifest in of_kind(chart, *WORKLOADS):
        for container in containers(manifest):
            for variable in container["env"]:
                if SECRET.search(variable["name"]):
                    if variable == {"name": "KAFKA_SASL_USERNAME", "value": "leads"}:
                        continue  # no secret: Strimzi's Secret has only the password
                    assert "secretKeyRef" in variable["valueFrom"]
                    services_of.setdefault(variable["name"], set()).add(container["name"])
    everybody = set(PORTS)
    [notifier] = containers(services(chart)["notifier"])
    [flusher] = containers(services(chart)["flusher"])
    mailbox = {"flusher"} if "FASTCORE_BOUNCE_MAILBOX_LOGIN_AS_SMTP" in environment(flusher) else set[str]()
    # XOAUTH2 in `full`, a relay without a password in `operators`.
    password = {"SMTP_PASSWORD": {"notifier"}} if "SMTP_PASSWORD" in environment(notifier) else {}
    username = {"KAFKA_SASL_USERNAME": everybody | {"topics"}} if "KAFKA_SASL_USERNAME" in services_of else {}
    assert services_of == password | username | {
        "DATABASE_URL": everybody - {"ingest"} | {"schema"},
        "FASTCORE_MIGRATION_DATABASE_URL": {"schema"},
        "FASTCORE_SITE_INGEST_TOKEN": {"ingest"},
        "FASTCORE_ADMIN_TOKEN": {"admin"},
        "KAFKA_SASL_PASSWORD": everybody | {"topics"},
        "SMTP_USER": {"notifier"} | mailbox,
    }
    assert not of_kind(chart, "Secret")


def test_the_values_refuse_a_secret_in_the_open() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    secrets = {
        name
        for name in SETTINGS
        if re.search("TOKEN$|PASSWORD$|SECRET$|SIGNING_KEY$|PRIVATE_KEY$|DATABASE_URL$|STATUS_KEY$", name)
    }
    assert len(secrets) > 10
    for name, definition in schema["definitions"].items():
        if name.startswith("env-"):
            assert not definition["additionalProperties"]
            assert not secrets & definition["properties"].keys()
            assert not any(
                re.search(pattern, secret)
                for pattern in definition["patternProperties"]
                for secret in secrets
            )


def test_the_required_settings_of_each_service_are_there(chart: list[Manifest]) -> None:
    required = {
        "ingest": {"KAFKA_BOOTSTRAP_SERVERS", "FASTCORE_SITE_INGEST_TOKEN"},
        "persister": {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"},
        "notifier": {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "SMTP_HOST", "FROM_EMAIL", "ADMIN_EMAIL"},
        "webhooks": {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"},
        "flusher": {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"},
        "admin": {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "FASTCORE_ADMIN_TOKEN"},
    }
    for name, manifest in services(chart).items():
        [container] = containers(manifest)
        assert environment(container).keys() >= required[name]
        assert environment(container)["FASTCORE_HTTP_HOST"] == "0.0.0.0"  # noqa: S104 - in a pod of its own


def test_only_the_service_that_needs_them_mounts_files_with_secrets() -> None:
    chart = rendered("full")
    mounts, secret_of = set[tuple[str, str]](), dict[str, str]()
    for manifest in of_kind(chart, *WORKLOADS):
        secret_of |= {
            each["name"]: each["secret"]["secretName"]
            for each in pod(manifest)["volumes"]
            if "secret" in each and each["secret"]["secretName"] != "fastcore-authorities"
        }
        for container in containers(manifest):
            for mount in container["volumeMounts"]:
                if mount["name"] in secret_of:
                    assert mount["readOnly"]
                    mounts.add((container["name"], mount["mountPath"]))
    assert secret_of == {name: f"fastcore-{name}" for name in ("destinations", "mail", "audit")}
    assert mounts == {
        ("webhooks", "/etc/fastcore/destinations"),
        ("notifier", "/etc/fastcore/mail"),
        ("flusher", "/etc/fastcore/mail"),
        ("flusher", "/etc/fastcore/audit"),
    }
    # The signing key of the audit log is named to the service that has it.
    for name, manifest in services(chart).items():
        [container] = containers(manifest)
        key = environment(container).get("FASTCORE_AUDIT_SIGNING_KEY_FILE")
        assert key == ("/etc/fastcore/audit/key" if name == "flusher" else None)
    maps = of_kind(chart, "ConfigMap")
    [sites] = [each["data"]["sites.toml"] for each in maps if component(each) != "backup"]
    files = {str(Path(path).parent) for path in re.findall('"file:([^"]+)"', sites)}
    assert files == {path for _, path in mounts} - {"/etc/fastcore/audit"}


def test_a_pod_has_longer_to_stop_than_its_drain_takes(chart: list[Manifest]) -> None:
    graceful = Http.model_fields["graceful_timeout_seconds"].default
    mail, lease = (Notifier.model_fields[f].default for f in ("mail_timeout_seconds", "lease_seconds"))
    for name, manifest in services(chart).items():
        grace = pod(manifest)["terminationGracePeriodSeconds"]
        [container] = containers(manifest)
        hook = str(container.get("lifecycle", {}))
        # The time of the preStop hook counts towards the grace period.
        before = int(found[1]) if (found := re.search(r"(?:--wait-seconds |sleep\()(\d+)", hook)) else 0
        assert mail < graceful == lease < grace - before, name


def test_a_gateway_keeps_its_spool_and_waits_for_it(chart: list[Manifest]) -> None:
    gateway = services(chart)["ingest"]
    [container] = containers(gateway)
    [claim] = gateway["spec"]["volumeClaimTemplates"]
    [mount] = [each for each in container["volumeMounts"] if each["name"] == claim["metadata"]["name"]]
    assert environment(container)["FASTCORE_INGEST_SPOOL_FOLDER"].startswith(f"{mount['mountPath']}/")
    assert set(gateway["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    assert "deploy.container.drain_spool" in str(container["lifecycle"]["preStop"])
    size = claim["spec"]["resources"]["requests"]["storage"]
    assert int(size.removesuffix("Gi")) << 30 > 2 * Ingest.model_fields["spool_max_bytes"].default


def test_no_pod_has_more_rights_than_it_needs(chart: list[Manifest]) -> None:
    for manifest in of_kind(chart, *WORKLOADS):
        assert pod(manifest)["automountServiceAccountToken"] is False
        assert pod(manifest)["securityContext"]["runAsNonRoot"] is True
        assert pod(manifest)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(manifest):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_the_schema_comes_first_and_then_the_topics(chart: list[Manifest]) -> None:
    [job] = of_kind(chart, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert [c["command"][-1] for c in containers(job)] == ["deploy.cli.migrate", "deploy.cli.topics"]


def test_admin_knows_where_every_service_is(chart: list[Manifest]) -> None:
    known = environment(next(containers(services(chart)["admin"])))
    addresses = {
        f"http://{each['metadata']['name']}:{each['spec']['ports'][0]['port']}"
        for each in of_kind(chart, "Service")
    }
    urls = dict(pair.split("=") for pair in known["FASTCORE_ADMIN_SERVICE_URLS"].split(","))
    assert urls.keys() == PORTS.keys()
    assert {*urls.values(), known["FASTCORE_ADMIN_GATEWAY_URLS"]} <= addresses


def test_consumers_follow_the_lag_of_their_group_up_to_the_partitions() -> None:
    chart = rendered("full")
    scaled = {component(each): each["spec"] for each in of_kind(chart, "ScaledObject")}
    assert scaled.keys() == topics.GROUPS.keys()
    for name, spec in scaled.items():
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] == topics.PARTITIONS
        [trigger] = spec["triggers"]
        assert trigger["metadata"]["consumerGroup"] == f"shop.{topics.GROUPS[name]}"
        # The chart must not set a number of replicas that the autoscaler controls.
        assert "replicas" not in services(chart)[name]["spec"]


def test_the_chart_s_examples_are_what_was_rendered() -> None:
    values = yaml.safe_load((CHART / "ci" / "full-values.yaml").read_text(encoding="utf-8"))
    image = next(containers(services(rendered("full"))["admin"]))["image"]
    assert image == f"{values['image']['repository']}:{values['image']['tag']}"


def test_the_version_is_the_project_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project
