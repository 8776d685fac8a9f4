"""Runs a pod of the chart as a container, as the kubelet does: volumes, probes, hooks and grace period."""

import asyncio
import io
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import httpx

from tests.chart.rendered_objects import Container, Objects, PodTemplate, Probe
from tests.support.web.plain_http import plain_client

# 143: the program ends by the signal itself, as uvicorn does. 137 is a kill.
STOPPED: Final = ("0", "143")
EMPTY_DIR_MODE: Final = 0o2777
CLAIM_MODE: Final = 0o2775


async def docker(*command: str, data: bytes | None = None) -> str:
    """Run `docker ...` and return what it printed. Fail with its error output."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        *command,
        stdin=asyncio.subprocess.PIPE if data is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, error = await process.communicate(data)
    assert process.returncode == 0, f"docker {' '.join(command)}:\n{error.decode()[-4000:]}"
    return printed.decode().strip()


@dataclass
class Host:
    """What all pods share: the network, the Secrets, and the names and volumes of this run."""

    run: str
    network: str
    gateway: str
    secrets: Mapping[str, Mapping[str, str]]
    claims: set[str] = field(default_factory=set)


async def make_volume(
    host: Host, name: str, image: str, *, group: int, mode: int, files: Mapping[str, str] | None = None
) -> None:
    """Make a volume that belongs to root and the pod's group, with these files in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode, folder.gid = tarfile.DIRTYPE, mode, group
        archive.addfile(folder)
        for path, text in (files or {}).items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.mode, entry.gid, entry.size = 0o644, group, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    await docker("volume", "create", "--label", f"fastcore.test={host.run}", name)
    into = ("--mount", f"type=volume,src={name},dst=/to,volume-nocopy")
    unpack = ("--user=0", "--entrypoint=tar", image, "-xpf", "-", "-C", "/to")
    await docker("run", "--rm", "--interactive", "--network=none", *into, *unpack, data=packed.getvalue())


@dataclass
class Pod:
    """One pod. `owner` is the name of its Deployment or StatefulSet."""

    host: Host
    name: str
    owner: str
    template: PodTemplate
    # Names of headless Services that select this pod, and the cluster's Services with their addresses.
    aliases: Sequence[str] = ()
    service_names: Sequence[str] = ()
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # The names of the volumes for which a StatefulSet has volumeClaimTemplates: each pod gets its own.
    claims: Sequence[str] = ()
    address: str = ""
    ready: bool = False
    terminating_since: float | None = None
    ended: asyncio.Future[str] | None = None
    probing: asyncio.Task[None] | None = None

    @property
    def container(self) -> str:
        return f"{self.host.run}-{self.name}"

    @property
    def main(self) -> Container:
        return self.template.spec.containers[0]

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Start the container, and its probes in the group."""
        await self._run(self.main, "--detach")
        find = "{{(index .NetworkSettings.Networks %r).IPAddress}}" % self.host.network  # noqa: UP031
        self.address = await docker("inspect", "-f", find.replace("'", '"'), self.container)
        self.ended = asyncio.ensure_future(docker("wait", self.container))
        self.probing = group.create_task(self._probe_all(), name=f"probes of {self.name}")

    async def complete(self, seconds: float) -> None:
        """Run all containers in their order, as a Job does. Fail with the log of one that fails."""
        async with asyncio.timeout(seconds):
            for container in (*self.template.spec.init_containers, self.main):
                await self._run(container)
                await docker("rm", self.container)
        await self._forget_volumes()

    def mark_terminating(self) -> None:
        """Do what the deletion of a pod does at once: its probes end, and its Services forget it soon."""
        assert self.probing
        self.terminating_since = time.monotonic()
        self.probing.cancel()

    async def stop(self) -> None:
        """Stop the container: preStop, SIGTERM, and SIGKILL when the grace period has passed."""
        assert self.ended
        assert self.terminating_since is not None
        until = self.terminating_since + self.template.spec.termination_grace_period_seconds
        if hook := self.main.lifecycle:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                await docker("exec", self.container, *hook.pre_stop.exec.command)
        await docker("stop", "--time", str(int(until - time.monotonic())), self.container)
        code = await self.ended
        assert code in STOPPED, f"{self.name} ended with {code}:\n{await self.log()}"
        await docker("rm", self.container)
        await self._forget_volumes()

    async def log(self) -> str:
        """Return the end of the container's log."""
        return await docker("logs", "--tail", "30", self.container)

    async def _run(self, container: Container, *options: str) -> None:
        spec = self.template.spec
        security = spec.security_context
        command = ["run", f"--name={self.container}", f"--hostname={self.name}", "--no-healthcheck"]
        command += [f"--label=fastcore.test={self.host.run}", f"--network={self.host.network}"]
        command += [f"--network-alias={alias}" for alias in self.aliases]
        command += [f"--add-host={name}:{self.host.gateway}" for name in self.service_names]
        command += [f"--user={security.run_as_user}:{security.run_as_group}"]
        command += [f"--group-add={security.fs_group}", "--read-only", "--security-opt=no-new-privileges"]
        command += [f"--cap-drop={each}" for each in container.security_context.capabilities.drop]
        memory = container.resources.limits.memory.replace("Mi", "m")
        command += [f"--memory={memory}", f"--memory-swap={memory}"]
        command += [f"--env={name}={value}" for name, value in self._variables(container).items()]
        command += await self._mounts(container)
        program, *arguments = [*container.command, *container.args]
        await docker(*command, *options, f"--entrypoint={program}", container.image, *arguments)

    def _variables(self, container: Container) -> dict[str, str]:
        found = {}
        for each in container.env:
            if each.value_from:
                secret = each.value_from.secret_key_ref
                found[each.name] = self.host.secrets[secret.name][secret.key]
            else:
                found[each.name] = each.value or ""
        return found

    async def _mounts(self, container: Container) -> list[str]:
        group = self.template.spec.security_context.fs_group
        volumes = {each.name: each for each in self.template.spec.volumes}
        options = []
        for mount in container.volume_mounts:
            name, files, mode = f"{self.container}-{mount.name}", None, EMPTY_DIR_MODE
            if mount.name in self.claims:
                name, mode = f"{self.host.run}-{mount.name}-{self.name}", CLAIM_MODE
            elif used := volumes[mount.name].config_map:
                files = self.config_maps[used.name]
            else:
                assert volumes[mount.name].empty_dir, f"{mount.name}: a volume of this kind cannot be made"
            if name not in self.host.claims:
                await make_volume(self.host, name, container.image, group=group, mode=mode, files=files)
            if mount.name in self.claims:
                self.host.claims.add(name)
            read_only = ",readonly" if mount.read_only else ""
            target = f"dst={mount.mount_path},volume-nocopy{read_only}"
            options.append(f"--mount=type=volume,src={name},{target}")
        return options

    async def _forget_volumes(self) -> None:
        for name in {each.name for each in self.template.spec.volumes}:
            with suppress(AssertionError):  # a volume that is not mounted was not made
                await docker("volume", "rm", f"{self.container}-{name}")

    async def _probe_all(self) -> None:
        assert self.ended
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail_when_it_ends())
            if probe := self.main.startup_probe:
                await self._fail_after_failures(probe, until_success=True)
            if probe := self.main.liveness_probe:
                group.create_task(self._fail_after_failures(probe))
            probe = self.main.readiness_probe
            assert probe, f"{self.name} has no readiness probe"
            failures = 0
            while True:
                failures = 0 if await self._answers(probe) else failures + 1
                if failures in {0, probe.failure_threshold}:
                    self.ready = not failures
                await asyncio.sleep(probe.period_seconds)

    async def _fail_when_it_ends(self) -> None:
        assert self.ended
        code = await asyncio.shield(self.ended)
        raise AssertionError(f"{self.name} ended with {code} by itself:\n{await self.log()}")

    async def _fail_after_failures(self, probe: Probe, *, until_success: bool = False) -> None:
        """Probe. Kubernetes restarts a container that fails here; a test must not need that."""
        failures = 0
        while failures < probe.failure_threshold:
            failures = 0 if (success := await self._answers(probe)) else failures + 1
            if success and until_success:
                return
            await asyncio.sleep(probe.period_seconds)
        raise AssertionError(f"{self.name}: {probe.http_get.path} does not answer:\n{await self.log()}")

    async def _answers(self, probe: Probe) -> bool:
        port = next(each.container_port for each in self.main.ports if each.name == probe.http_get.port)
        url = f"http://{self.address}:{port}{probe.http_get.path}"
        with suppress(httpx.HTTPError):
            async with plain_client(timeout=probe.timeout_seconds) as client:
                return (await client.get(url)).status_code < 400
        return False


def selected(objects: Objects, labels: Mapping[str, str], *, headless: bool) -> list[str]:
    """Return the names of the Services of one kind that select pods with these labels."""
    return [
        each.metadata.name
        for each in objects.services
        if bool(each.spec.cluster_ip) == headless and each.spec.selector.items() <= labels.items()
    ]
