"""Prometheus metrics. If a process runs several services, each service has its own copy of each metric.

A process with one service registers its metrics as usual. With several services, the page `/metrics` of each
shows only its own values, so that sums over all pages count nothing twice.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import prometheus_client
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from runtime.current_service import current_service

_registries: Final[dict[str, CollectorRegistry]] = {}


class _ServiceMetric(MetricWrapperBase):
    """A metric whose methods act on the copy of the current service, if there is one."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _copies: dict[str, Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arguments, self._copies = (arguments, options), {}

    def add_copy(self, service: str, registry: CollectorRegistry) -> None:
        """Register a copy in the registry of a service."""
        arguments, options = self._arguments
        self._copies[service] = type(self)(*arguments, **{**options, "registry": registry})

    def remove_copies(self) -> None:
        """Forget all copies."""
        self._copies.clear()

    def _own(self) -> Self:
        own: Self = self._copies.get(current_service(), self) if self._copies else self
        return own

    def labels(self, *values: Any, **named: Any) -> Self:
        """Return the child with these labels, of the current service."""
        own = self._own()
        return super(_ServiceMetric, own).labels(*values, **named)

    def remove(self, *values: Any) -> None:
        """Remove the child with these labels from the current service's copy."""
        super(_ServiceMetric, self._own()).remove(*values)

    def clear(self) -> None:
        """Remove all children from the current service's copy."""
        super(_ServiceMetric, self._own()).clear()


class Counter(_ServiceMetric, prometheus_client.Counter):
    """A counter with a value for each service of the process."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Add `amount`, which is not negative."""
        prometheus_client.Counter.inc(self._own(), amount, exemplar)


class Gauge(_ServiceMetric, prometheus_client.Gauge):
    """A gauge with a value for each service of the process."""

    def set(self, value: float) -> None:
        """Set the value."""
        prometheus_client.Gauge.set(self._own(), value)

    def set_function(self, f: Callable[[], float]) -> None:
        """Call `f` for the value at each scrape."""
        prometheus_client.Gauge.set_function(self._own(), f)


class Histogram(_ServiceMetric, prometheus_client.Histogram):
    """A histogram with values for each service of the process."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count an observation."""
        prometheus_client.Histogram.observe(self._own(), amount, exemplar)


def separate_services(services: Sequence[str], metrics: Iterable[object]) -> None:
    """Give each of these services its own copy of all `metrics`, and a registry.

    The metrics of the process, such as its memory, are in the registry of the first service only. Call it
    before the services count anything. Without services, undo it.
    """
    own = [each for each in metrics if isinstance(each, _ServiceMetric)]
    _registries.clear()
    for metric in own:
        metric.remove_copies()
    for service in services:
        _registries[service] = CollectorRegistry()
        for metric in own:
            metric.add_copy(service, _registries[service])
    for service in services[:1]:
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            _registries[service].register(collector)


def current_registry() -> CollectorRegistry:
    """Return the registry with the metrics of the current service."""
    return _registries.get(current_service(), REGISTRY)
