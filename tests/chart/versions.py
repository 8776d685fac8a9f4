"""The charts of the previous release and of this checkout, with the values for `python -m tests.chart`."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

import yaml

from deploy.generate.chart import CHART
from tests.chart.rendering import helm_template
from tests.compose.project import ADMIN_TOKEN, INGEST_TOKEN, ROOT

# When gateways of this version stop, they lose a request that is on its way over a kept connection. Later
# ones do not. An ingress controller that follows the endpoints sends none by then.
LOSES_ON_KEPT: Final = "daa622c13c351d188b5c25eeba73a9eb3d3de837"
IMAGES: Final = {"previous": "fastcore:chart-previous", "this": "fastcore:chart-this"}
VALUES: Final = {
    "image": {"repository": "fastcore"},
    "env": {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "FASTCORE_KAFKA_REPLICATION": "1",
        "DEBUG": "true",  # accept the example tokens
    },
    "secrets": {"kafka": "", "smtp": "", "site": ""},
    "sites": '[sites.studio]\ntokens = ["env:STUDIO_TOKEN"]\n',
    "ingest": {"secretEnv": {"STUDIO_TOKEN": {"secret": "studio", "key": "token"}}},
    "notifier": {
        "env": {
            "SMTP_HOST": "mailbox",
            "SMTP_PORT": "1025",
            "SMTP_TLS": "false",
            "FROM_EMAIL": "leads@fastcore.example",
            "ADMIN_EMAIL": "admin@fastcore.example",
            "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # the team's notifications are counted one by one
            "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "100000",
        }
    },
}
SECRETS: Final = {
    "fastcore-database": {"DATABASE_URL": "postgresql://fastcore:fastcore@postgres:5432/fastcore"},
    "fastcore-database-owner": {
        "FASTCORE_MIGRATION_DATABASE_URL": "postgresql://fastcore_owner:fastcore_owner@postgres:5432/fastcore"
    },
    "fastcore-admin-token": {"FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN},
    "studio": {"token": INGEST_TOKEN},
}


def previous_commit() -> str:
    """Return the commit of the previous release."""
    return (ROOT / "tests/support/previous_version.txt").read_text(encoding="utf-8").strip()


def render_both() -> dict[str, str]:
    """Return what Helm renders of the previous release's chart and of this one, with the same values."""
    rendered = {}
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder) / "values.yaml"
        values.write_text(yaml.safe_dump(VALUES), encoding="utf-8")
        chart = CHART.relative_to(ROOT)
        command = f"git archive {previous_commit()} {chart} | tar -x -C {folder}"
        subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, timeout=60)
        for version, path in (("previous", Path(folder) / chart), ("this", CHART)):
            tag = IMAGES[version].partition(":")[2]
            rendered[version], error = helm_template(f"--set=image.tag={tag}", values=values, chart=path)
            assert not error, error
    return rendered
