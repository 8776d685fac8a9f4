"""Installs, upgrades and rolls back what the chart renders, as Helm and the controllers of Kubernetes do."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tests.chart.pods import Host, Pod, selected
from tests.chart.rendered_objects import Deployment, Objects, PodTemplate, StatefulSet
from tests.chart.service_proxy import serve
from tests.support.wait import eventually

ROLLOUT_SECONDS: Final = 240
JOB_SECONDS: Final = 300


class Release:
    """The pods and Services of one Helm release."""

    def __init__(self, host: Host, group: asyncio.TaskGroup) -> None:
        self.pods: list[Pod] = []
        self._host = host
        self._group = group
        self._objects = Objects()
        self._proxies: dict[str, asyncio.Server] = {}

    async def install_or_upgrade(self, objects: Objects) -> None:
        """Run the hooks, then apply the objects and wait: `helm upgrade --install --wait`."""
        for job in objects.jobs:
            pod = self._pod(objects, job.metadata.name, job.metadata.name, job.spec.template)
            await pod.complete(min(JOB_SECONDS, job.spec.active_deadline_seconds))
        await self.roll_back(objects)

    async def roll_back(self, objects: Objects) -> None:
        """Apply the objects and wait: `helm rollback --wait`. It runs no hook, so the schema stays."""
        before = {each.metadata.name for each in self._objects.workloads}
        after = {each.metadata.name for each in objects.workloads}
        assert before <= after, f"{before - after} would be deleted, which cannot be tested here"
        self._objects = objects
        await self._serve(objects)
        async with asyncio.TaskGroup() as group:
            for deployment in objects.deployments:
                group.create_task(self._roll_deployment(deployment))
            for stateful_set in objects.stateful_sets:
                group.create_task(self._roll_stateful_set(stateful_set))

    async def test(self) -> None:
        """Run the pods of `helm test`."""
        for each in self._objects.tests:
            template = PodTemplate(metadata=each.metadata, spec=each.spec)
            await self._pod(self._objects, each.metadata.name, "", template).complete(JOB_SECONDS)

    async def close(self) -> None:
        """Stop all pods in order, then the Services."""
        async with asyncio.TaskGroup() as group:
            for pod in self.pods:
                pod.mark_terminating()
                group.create_task(pod.stop())
        for proxy in self._proxies.values():
            proxy.close()

    def of(self, owner: str) -> list[Pod]:
        """Return the pods of a Deployment or StatefulSet that are not being stopped."""
        return [pod for pod in self.pods if pod.owner == owner and pod.terminating_since is None]

    async def _serve(self, objects: Objects) -> None:
        for service in objects.services:
            name = service.metadata.name
            if service.spec.cluster_ip or name in self._proxies:
                continue
            self._proxies[name] = await serve(service, self._host.gateway, lambda: self.pods)

    async def _roll_deployment(self, deployment: Deployment) -> None:
        name, spec = deployment.metadata.name, deployment.spec
        surge = spec.strategy.rolling_update
        async with asyncio.TaskGroup() as stopping:

            async def step() -> bool:
                alive = self.of(name)
                new = [pod for pod in alive if pod.template == spec.template]
                old = [pod for pod in alive if pod.template != spec.template]
                if len(new) < spec.replicas and len(alive) < spec.replicas + surge.max_surge:
                    await self._start(name, f"{name}-{secrets.token_hex(3)}", spec.template)
                elif old and sum(pod.ready for pod in alive) > spec.replicas - surge.max_unavailable:
                    victim = min(old, key=lambda pod: pod.ready)
                    victim.mark_terminating()
                    stopping.create_task(self._stop(victim))
                return not old and len(new) == spec.replicas and all(pod.ready for pod in new)

            await self._until(step, name)

    async def _roll_stateful_set(self, stateful_set: StatefulSet) -> None:
        name, spec = stateful_set.metadata.name, stateful_set.spec
        claims = [each["metadata"]["name"] for each in spec.volume_claim_templates]
        names = [f"{name}-{ordinal}" for ordinal in range(spec.replicas)]
        present = {pod.name: pod for pod in self.of(name)}
        assert set(present) <= set(names), f"{name}: scaling down cannot be tested here"
        for each in names:
            if each not in present:
                await self._start(name, each, spec.template, claims)
        for each in reversed(names):
            if each in present and present[each].template != spec.template:
                present[each].mark_terminating()
                await self._stop(present[each])
                await self._start(name, each, spec.template, claims)
            await self._until(lambda: self._ready(each), each)  # noqa: B023 - awaited in this round

    async def _ready(self, name: str) -> bool:
        return any(pod.name == name and pod.ready for pod in self.pods)

    async def _until(self, step: Callable[[], Awaitable[bool]], what: str) -> None:
        await eventually(step, seconds=ROLLOUT_SECONDS, every=0.2, what=f"the rollout of {what}")

    async def _start(
        self, owner: str, name: str, template: PodTemplate, claims: list[str] | None = None
    ) -> None:
        pod = self._pod(self._objects, name, owner, template, claims)
        self.pods.append(pod)
        await pod.start(self._group)

    async def _stop(self, pod: Pod) -> None:
        await pod.stop()
        self.pods.remove(pod)

    def _pod(
        self,
        objects: Objects,
        name: str,
        owner: str,
        template: PodTemplate,
        claims: list[str] | None = None,
    ) -> Pod:
        return Pod(
            self._host,
            name,
            owner,
            template,
            aliases=selected(objects, template.metadata.labels, headless=True),
            service_names=[each.metadata.name for each in objects.services if not each.spec.cluster_ip],
            config_maps=objects.config_maps,
            claims=claims or [],
        )


@asynccontextmanager
async def release(host: Host) -> AsyncIterator[Release]:
    """Yield an empty release. At the end, stop its pods in order."""
    async with asyncio.TaskGroup() as group:
        made = Release(host, group)
        yield made
        await made.close()
