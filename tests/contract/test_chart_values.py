"""What the chart's values do: Secrets with other keys, names, scheduling, volumes and ports."""

from pathlib import Path

import pytest
import yaml

from deploy.generate.chart import CASES, CHART
from deploy.generate.chart_values import documented_values, known_settings
from services.flusher.settings import Audit
from tests.contract.test_chart import (
    WORKLOADS,
    Manifest,
    component,
    containers,
    environment,
    of_kind,
    pod,
    rendered,
    services,
)


@pytest.fixture(scope="module")
def operators() -> list[Manifest]:
    return rendered("operators")


def only_container(manifest: Manifest) -> Manifest:
    [container] = containers(manifest)
    return container


def where(container: Manifest, variable: str) -> tuple[str, str]:
    """Return the Secret and the key that a variable comes from."""
    [reference] = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if each["name"] == variable]
    return reference["name"], reference["key"]


@pytest.mark.parametrize("case", CASES)
def test_no_container_has_two_variables_of_one_name(case: str) -> None:
    for manifest in of_kind(rendered(case), *WORKLOADS):
        for container in containers(manifest):
            names = [each["name"] for each in container["env"]]
            assert sorted(set(names)) == sorted(names)


def test_secrets_may_have_the_keys_of_strimzi_and_cloudnativepg(operators: list[Manifest]) -> None:
    found = services(operators)
    assert where(only_container(found["admin"]), "DATABASE_URL") == ("leads-services", "uri")
    # A component's own Secret replaces the one for all.
    assert where(only_container(found["persister"]), "DATABASE_URL") == ("leads-persister", "uri")
    assert where(only_container(found["ingest"]), "KAFKA_SASL_PASSWORD") == ("leads", "password")
    assert environment(only_container(found["ingest"]))["KAFKA_SASL_USERNAME"] == "leads"
    [authorities] = [each for each in pod(found["ingest"])["volumes"] if each["name"] == "authorities"]
    assert [source["secret"] for source in authorities["projected"]["sources"]] == [
        {"name": "main-cluster-ca-cert", "items": [{"key": "ca.crt", "path": "kafka.pem"}]},
        {"name": "leads-db-ca", "items": [{"key": "ca.crt", "path": "postgres.pem"}]},
    ]


def test_keda_logs_in_with_the_same_secrets(operators: list[Manifest]) -> None:
    [login] = of_kind(operators, "TriggerAuthentication")
    assert login["spec"] == {
        "secretTargetRef": [
            {"parameter": "password", "name": "leads", "key": "password"},
            {"parameter": "ca", "name": "main-cluster-ca-cert", "key": "ca.crt"},
        ],
        "env": [{"parameter": "username", "name": "KAFKA_SASL_USERNAME"}],
    }


def test_names_labels_and_the_image_are_the_installation_s(operators: list[Manifest]) -> None:
    for manifest in of_kind(operators, *WORKLOADS, "Service", "NetworkPolicy"):
        assert manifest["metadata"]["name"].startswith("intake-")
    for manifest in of_kind(operators, *WORKLOADS):
        assert manifest["spec"]["template"]["metadata"]["labels"]["example.com/cost-center"] == "web"
        for container in containers(manifest):
            assert container["image"].startswith("registry.example.com/fastcore@sha256:")


def test_a_component_s_scheduling_replaces_that_of_all_pods(operators: list[Manifest]) -> None:
    found = services(operators)
    assert pod(found["ingest"])["nodeSelector"] == {"example.com/disk": "fast"}
    assert pod(found["admin"])["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert [pod(each).get("priorityClassName") for each in (found["ingest"], found["admin"])] == [
        "leads-first",
        None,
    ]
    [spread] = pod(found["ingest"])["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    assert spread["labelSelector"]["matchLabels"] == found["ingest"]["spec"]["selector"]["matchLabels"]
    assert len(pod(found["admin"])["topologySpreadConstraints"]) == 2
    annotations = found["persister"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"example.com/team": "web", "example.com/scrape": "false"}
    assert found["ingest"]["metadata"]["annotations"] == {"example.com/owner": "platform"}


def test_extra_variables_volumes_and_objects_are_added(operators: list[Manifest]) -> None:
    notifier = services(operators)["notifier"]
    container = only_container(notifier)
    # The last of a name wins.
    assert environment(container)["LOG_LEVEL"] == "WARNING"
    assert environment(container)["SMTP_USER"] == "relay"
    assert container["envFrom"] == [{"secretRef": {"name": "relay-options"}}]
    assert {each["name"] for each in pod(notifier)["volumes"]} >= {"tmp", "dkim"}
    assert {each["name"] for each in container["volumeMounts"]} >= {"tmp", "dkim"}
    assert "intake-extra" in {each["metadata"]["name"] for each in of_kind(operators, "ConfigMap")}


def test_a_number_of_the_values_stays_a_whole_number(operators: list[Manifest]) -> None:
    ingest = environment(only_container(services(operators)["ingest"]))
    assert ingest["FASTCORE_INGEST_SPOOL_MAX_BYTES"] == "268435456"


def test_each_flusher_has_a_volume_for_its_checkpoint(operators: list[Manifest]) -> None:
    flusher = services(operators)["flusher"]
    assert flusher["kind"] == "StatefulSet"
    [claim] = flusher["spec"]["volumeClaimTemplates"]
    container = only_container(flusher)
    [mount] = [each for each in container["volumeMounts"] if each["name"] == claim["metadata"]["name"]]
    # The flusher makes no folder: the file is in the volume's root.
    file = Path(environment(container)["FASTCORE_AUDIT_CHECKPOINT_FILE"])
    assert file.parent == Path(mount["mountPath"])
    assert not mount.get("readOnly")
    assert "checkpoint_file" in Audit.model_fields
    [scaled] = [each for each in of_kind(operators, "ScaledObject") if component(each) == "flusher"]
    assert scaled["spec"]["scaleTargetRef"] == {"kind": "StatefulSet", "name": "intake-flusher"}


@pytest.mark.parametrize("case", CASES)
def test_helm_test_asks_every_service_with_no_more_rights_than_they_have(case: str) -> None:
    chart = rendered(case)
    [test] = of_kind(chart, "Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [container] = test["spec"]["containers"]
    addresses = {
        f"{component(each)}=http://{each['metadata']['name']}:{each['spec']['ports'][0]['port']}"
        for each in of_kind(chart, "Service")
        if not each["metadata"]["name"].endswith("-each")
    }
    assert set(container["args"]) == addresses
    assert container["command"][:3] == ["python", "-m", "deploy.container.check_services"]
    admin = services(chart)["admin"]
    assert container["securityContext"] == only_container(admin)["securityContext"]
    assert test["spec"]["securityContext"] == pod(admin)["securityContext"]
    assert test["spec"]["automountServiceAccountToken"] is False
    # The policies know the pod by this label.
    assert component(test) == "test"


def test_settings_of_a_component_are_those_that_it_reads() -> None:
    assert "FASTCORE_NOTIFIER_CONNECTIONS" in known_settings("notifier")
    assert "FASTCORE_NOTIFIER_CONNECTIONS" not in known_settings("flusher")
    assert {"SMTP_PASSWORD", "DATABASE_URL", "FASTCORE_HTTP_PORT"}.isdisjoint(known_settings("notifier"))
    # A secret may come from a mounted file.
    assert "SMTP_PASSWORD_FILE" in known_settings("notifier")


def test_the_readme_lists_each_value_with_its_default_and_comment(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        '# Not for a key.\n\n# Who\n# calls.\na:\n  # One | two.\n  b: {c: 1}\n  d: ""\ne: []\n',
        encoding="utf-8",
    )
    assert list(documented_values(values)) == [
        ("a", "", "Who calls."),
        ("a.b", "{c: 1}", "One \\| two."),
        ("a.d", '""', ""),
        ("e", "[]", ""),
    ]


def test_the_readme_lists_all_values_of_the_chart() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    keys = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert all(f"| `{key}" in readme for key in keys)
