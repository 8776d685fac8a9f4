"""Who may reach whom: the chart's network policies, and the paths that are public."""

import pytest

from deploy.generate.chart import CASES
from services.roles import PORTS
from tests.contract.test_chart import component, of_kind, rendered


@pytest.mark.parametrize("case", CASES)
def test_network_policy_allows_ingress_from_known_clients_only(case: str) -> None:
    chart = rendered(case)
    policies = {component(each): each["spec"] for each in of_kind(chart, "NetworkPolicy")}
    assert "ingress" not in policies["network"]
    assert "ingress" not in policies["migrate"]
    for name in PORTS:
        [rule] = policies[name]["ingress"]
        assert rule["ports"] == [{"port": PORTS[name], "protocol": "TCP"}]
        peers = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in rule["from"]
            if "namespaceSelector" not in peer
        }
        namespaces = {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for peer in rule["from"]
            if "namespaceSelector" in peer
        }
        assert peers == {"admin", "test"} | ({"flusher"} if name == "ingest" else set())
        assert "monitoring" in namespaces
        assert namespaces - {"monitoring"} <= {"ingress-nginx", "gateways"}
        assert (len(namespaces) == 2) is (name in {"ingest", "admin"})


def test_the_edge_serves_the_documented_urls_and_nothing_internal() -> None:
    [ingress] = of_kind(rendered("full"), "Ingress")
    [rule] = ingress["spec"]["rules"]
    backends = {p["path"]: p["backend"]["service"]["name"].rpartition("-")[2] for p in rule["http"]["paths"]}
    assert backends["/admin"] == "admin"
    assert backends["/inbound"] == "ingest"
    assert not {"/", "/internal", "/metrics"} & backends.keys()
    [route] = of_kind(rendered("operators"), "HTTPRoute")
    assert backends == {
        match["path"]["value"]: rule["backendRefs"][0]["name"].rpartition("-")[2]
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    }


def test_ports_of_policies_are_those_of_the_settings() -> None:
    operators = rendered("operators")
    ports = {
        component(each): {port["port"] for rule in each["spec"].get("egress", []) for port in rule["ports"]}
        for each in of_kind(operators, "NetworkPolicy")
    }
    telemetry = {4317, 4318, 4328}
    assert ports["persister"] == {53, 9093, 5432, 6432} | telemetry
    assert ports["notifier"] == {53, 9093, 5432, 6432, 2525} | telemetry
    assert ports["migrate"] == {53, 9093, 5432, 6432} | telemetry
    assert ports["test"] == {53, *PORTS.values()}
