"""The metrics of all workers of a gateway on one page: prometheus_client's multiprocess mode."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from prometheus_client import PLATFORM_COLLECTOR, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from runtime.worker import Worker

_CPU_SECONDS: Final = "process_cpu_seconds"
# Of the fields of /proc/[pid]/stat behind the name: cutime and cstime, of the children that have ended.
_CHILDREN_TICKS: Final = slice(13, 15)


def workers_page(worker: Worker) -> bytes:
    """Return the page. Every counter is the sum of all workers, also of those that have died."""
    registry = CollectorRegistry()
    registry.register(_WorkersCollector(worker))
    registry.register(_ProcessesCollector(os.getppid()))
    registry.register(PLATFORM_COLLECTOR)
    return generate_latest(registry)


class _WorkersCollector(Collector):
    def __init__(self, worker: Worker) -> None:
        self._folder = str(worker.metrics_folder)

    def collect(self) -> Iterator[Metric]:
        collector: Any = MultiProcessCollector(None, self._folder)  # type: ignore[no-untyped-call]
        for metric in collector.collect():
            if metric.name == "fastcore_sites_file_info":  # 0 is a version that no longer applies
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric


class _ProcessesCollector(Collector):
    """Sums the library's `process_*` metrics of the supervisor and the workers."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        try:
            children = Path(f"/proc/{self._supervisor}/task/{self._supervisor}/children").read_text().split()
            stat = Path(f"/proc/{self._supervisor}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # not Linux, or the supervisor has just died
            return
        merged: dict[str, Metric] = {}
        for pid in (self._supervisor, *map(int, children)):
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                if metric.name not in merged:
                    merged[metric.name] = metric
                elif metric.name not in ("process_start_time_seconds", "process_max_fds"):
                    first, other = merged[metric.name].samples, metric.samples
                    merged[metric.name].samples = [
                        sample._replace(value=sample.value + more.value)
                        for sample, more in zip(first, other, strict=True)
                    ]
        if cpu := merged.get(_CPU_SECONDS):  # it must not fall if a worker dies
            ended = sum(map(int, stat[_CHILDREN_TICKS])) / os.sysconf("SC_CLK_TCK")
            cpu.samples = [sample._replace(value=sample.value + ended) for sample in cpu.samples]
        yield from merged.values()
