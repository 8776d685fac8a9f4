"""Generates docs/metrics.md from runtime/metrics.py and its comments."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from runtime import metrics

HEAD: Final = """\
# Metrics

Every service exports its metrics at `/metrics`, with those of the libraries (`python_*`, `process_*`).
Generated from `runtime/metrics.py` by `make docs`. No label contains an id or an email address. The alerts
are in `deploy/prometheus/alerts.yml`, with a page for each in `docs/runbooks`.
"""
_SECTION: Final = re.compile(r"^# --- (.*?) -+$")
_NAMED: Final = re.compile(r"^([A-Z_]+): Final = ")


def exported(metric: MetricWrapperBase) -> str:
    """Return the metric's name in PromQL. The name of a counter ends with `_total`."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def entries() -> Iterator[tuple[str, MetricWrapperBase, str]]:
    """Yield the section, the metric and the comment of each metric, in the order of runtime/metrics.py.

    Several metrics may share a comment.
    """
    section, comment, is_new = "", list[str](), True
    for line in Path(metrics.__file__).read_text(encoding="utf-8").splitlines():
        if match := _SECTION.match(line):
            section, comment = match.group(1), []
        elif line.startswith("# "):
            comment = [line[2:]] if is_new else [*comment, line[2:]]
            is_new = False
        elif match := _NAMED.match(line):
            yield section, getattr(metrics, match.group(1)), " ".join(comment)
            is_new = True


def metrics_document() -> str:
    """Return the text of docs/metrics.md, with a table for each section."""
    lines, last = [HEAD], ""
    for section, metric, comment in entries():
        if section != last:
            title = section[0].upper() + section[1:]
            lines += [f"\n## {title}\n", "| metric | type | labels | meaning |", "|---|---|---|---|"]
            last = section
        (family,) = metric.describe()
        labels = ", ".join(f"`{name}`" for name in metric._labelnames)  # noqa: SLF001
        lines.append(f"| `{exported(metric)}` | {family.type} | {labels} | {comment} |")
    return "\n".join(lines) + "\n"
