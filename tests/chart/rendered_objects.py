"""The objects that the chart renders, as far as `python -m tests.chart` can run them.

A field that is not named here is an error: a template that begins to use it must not go untested. A field
of the type `Any` changes nothing on one machine, such as where Kubernetes places a pod.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel

HOOK: Final = "helm.sh/hook"
# Kinds that are not run. They restrict the network, evictions and the Kubernetes API.
NOT_RUN: Final = ("NetworkPolicy", "PodDisruptionBudget", "ServiceAccount")


class _Object(BaseModel, extra="forbid", alias_generator=to_camel, frozen=True):
    pass


class Metadata(_Object):
    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class HttpGet(_Object):
    path: str
    port: str


class Probe(_Object):
    http_get: HttpGet
    period_seconds: float = 10
    timeout_seconds: float = 1
    failure_threshold: int = 3


class Command(_Object):
    command: list[str]


class Hook(_Object):
    exec: Command


class Lifecycle(_Object):
    pre_stop: Hook


class KeyOfSecret(_Object):
    name: str
    key: str


class ValueFrom(_Object):
    secret_key_ref: KeyOfSecret


class Variable(_Object):
    name: str
    # Kubernetes replaces $(NAME), which is not done here.
    value: str | None = Field(default=None, pattern=r"^[^$]*$")
    value_from: ValueFrom | None = None


class Limits(_Object):
    memory: str = Field(pattern=r"^\d+Mi$")


class Resources(_Object):
    limits: Limits
    requests: Any = None


class Capabilities(_Object):
    drop: list[str]


class ContainerSecurity(_Object):
    allow_privilege_escalation: Literal[False]
    read_only_root_filesystem: Literal[True]
    capabilities: Capabilities


class Mount(_Object):
    name: str
    mount_path: str
    read_only: bool = False


class Port(_Object):
    name: str
    container_port: int


class Container(_Object):
    name: str
    image: str
    command: list[str]
    args: list[str] = []
    env: list[Variable] = []
    ports: list[Port] = []
    volume_mounts: list[Mount] = []
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    resources: Resources
    security_context: ContainerSecurity
    image_pull_policy: Any = None


class EmptyDir(_Object):
    size_limit: Any = None


class ConfigMapName(_Object):
    name: str


class Volume(_Object):
    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapName | None = None


class PodSecurity(_Object):
    run_as_non_root: Literal[True]
    run_as_user: int
    run_as_group: int
    fs_group: int
    fs_group_change_policy: Any = None
    # The default profile of the engine.
    seccomp_profile: dict[Literal["type"], Literal["RuntimeDefault"]]


class PodSpec(_Object):
    init_containers: list[Container] = []
    containers: list[Container] = Field(min_length=1, max_length=1)
    volumes: list[Volume] = []
    security_context: PodSecurity
    termination_grace_period_seconds: float = 30
    restart_policy: Literal["Always", "Never"] = "Always"
    automount_service_account_token: Literal[False]
    enable_service_links: Literal[False]
    service_account_name: Any = None
    topology_spread_constraints: Any = None


class PodTemplate(_Object):
    metadata: Metadata
    spec: PodSpec


class Surge(_Object):
    max_surge: int
    max_unavailable: int


class DeploymentStrategy(_Object):
    type: Literal["RollingUpdate"]
    rolling_update: Surge


class StatefulSetStrategy(_Object):
    type: Literal["RollingUpdate"]


class Selector(_Object):
    match_labels: dict[str, str]


class DeploymentSpec(_Object):
    replicas: int
    strategy: DeploymentStrategy
    selector: Selector
    template: PodTemplate
    revision_history_limit: Any = None


class Deployment(_Object):
    api_version: str
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec


class StatefulSetSpec(_Object):
    replicas: int
    update_strategy: StatefulSetStrategy
    selector: Selector
    template: PodTemplate
    service_name: str
    # How an installation starts its pods. An update replaces them one by one all the same.
    pod_management_policy: Literal["Parallel"]
    volume_claim_templates: list[dict[str, Any]] = []
    persistent_volume_claim_retention_policy: Any = None
    revision_history_limit: Any = None


class StatefulSet(_Object):
    api_version: str
    kind: Literal["StatefulSet"]
    metadata: Metadata
    spec: StatefulSetSpec


class JobSpec(_Object):
    template: PodTemplate
    # A retry would hide a fault: `tests.chart` allows none.
    backoff_limit: Any = None
    active_deadline_seconds: float


class Job(_Object):
    api_version: str
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


class ServicePort(_Object):
    name: str
    port: int
    target_port: str


class ServiceSpec(_Object):
    selector: dict[str, str]
    ports: list[ServicePort] = Field(min_length=1, max_length=1)
    publish_not_ready_addresses: bool = False
    cluster_ip: Literal["None"] | None = Field(default=None, alias="clusterIP")


class Service(_Object):
    api_version: str
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class TestPod(_Object):
    api_version: str
    kind: Literal["Pod"]
    metadata: Metadata
    spec: PodSpec


@dataclass
class Objects:
    """What one version of the chart renders."""

    jobs: list[Job] = field(default_factory=list)
    tests: list[TestPod] = field(default_factory=list)
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    stateful_sets: list[StatefulSet] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Objects":
        """Read what `helm template` printed. Raise ValueError for a kind or a field that cannot be run."""
        found = cls()
        for each in yaml.safe_load_all(text):
            if each and each["kind"] not in NOT_RUN:
                found._add(each)
        return found

    def _add(self, each: dict[str, Any]) -> None:
        hook = each["metadata"].get("annotations", {}).get(HOOK)
        match each["kind"], hook:
            case "Deployment", None:
                self.deployments.append(Deployment.model_validate(each))
            case "StatefulSet", None:
                self.stateful_sets.append(StatefulSet.model_validate(each))
            case "Service", None:
                self.services.append(Service.model_validate(each))
            case "ConfigMap", None:
                self.config_maps[each["metadata"]["name"]] = each["data"]
            case "Job", "pre-install,pre-upgrade":
                self.jobs.append(Job.model_validate(each))
            case "Pod", "test":
                self.tests.append(TestPod.model_validate(each))
            case kind, _:
                raise ValueError(f"{kind} {each['metadata']['name']} (hook: {hook}) cannot be run")

    @property
    def workloads(self) -> Iterable[Deployment | StatefulSet]:
        return [*self.deployments, *self.stateful_sets]
