"""`docs/metrics.md`, written from runtime/metrics.py, whose comments say what each metric means."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from runtime import metrics

HEAD: Final = """\
# Metrics

Every service shows its metrics at `/metrics`; the libraries' own (`python_*`, `process_*`) come with them.
Generated from `runtime/metrics.py` by `make docs`. No label ever holds an id or an email. The alerts on them
are in `deploy/prometheus/alerts.yml`, with a page for each in `docs/runbooks`.
"""
_SECTION: Final = re.compile(r"^# --- (.*?) -+$")
_NAMED: Final = re.compile(r"^([A-Z_]+): Final = ")


def exported(metric: MetricWrapperBase) -> str:
    """Return the name that PromQL uses: a counter's ends with `_total`."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def entries() -> Iterator[tuple[str, MetricWrapperBase, str]]:
    """Yield section, metric and comment, in the order of the catalogue; a comment may speak for several."""
    section, comment, fresh = "", list[str](), True
    for line in Path(metrics.__file__).read_text(encoding="utf-8").splitlines():
        if found := _SECTION.match(line):
            section, comment = found.group(1), []
        elif line.startswith("# "):
            comment = [line[2:]] if fresh else [*comment, line[2:]]
            fresh = False
        elif found := _NAMED.match(line):
            yield section, getattr(metrics, found.group(1)), " ".join(comment)
            fresh = True


def catalogue() -> str:
    """Write the catalogue as tables."""
    lines, last = [HEAD], ""
    for section, metric, comment in entries():
        if section != last:
            title = section[0].upper() + section[1:]
            lines += [f"\n## {title}\n", "| metric | type | labels | what it says |", "|---|---|---|---|"]
            last = section
        (family,) = metric.describe()
        labels = ", ".join(f"`{name}`" for name in metric._labelnames)  # noqa: SLF001
        lines.append(f"| `{exported(metric)}` | {family.type} | {labels} | {comment} |")
    return "\n".join(lines) + "\n"
