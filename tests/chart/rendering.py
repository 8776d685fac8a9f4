"""Renders the chart with Helm, as its users do."""

import os
import subprocess
from pathlib import Path

from deploy.generate.chart import CHART, find_helm

MINIMAL = CHART / "ci/minimal-values.yaml"


def helm_template(
    *options: str,
    values: Path | None = None,
    kubeconfig: Path | None = None,
    chart: Path = CHART,
    release: str = "leads",
) -> tuple[str, str]:
    """Render the chart with the minimal values and `values`. Return what Helm printed, and its error.

    The error is empty if Helm succeeded. With `kubeconfig`, templates can look objects up.
    """
    command = [find_helm(), "template", release, str(chart), "--namespace", "leads", "--values", str(MINIMAL)]
    if values:
        command += ["--values", str(values)]
    if kubeconfig:
        command += ["--dry-run=server", "--disable-openapi-validation", "--is-upgrade"]
        command += ["--kubeconfig", str(kubeconfig)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ)
    )
    return done.stdout, "" if done.returncode == 0 else done.stderr
