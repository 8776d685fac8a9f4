"""The chart's backup: it has the script of the repository, and one secret."""

from tests.contract.test_chart import environment, of_kind, rendered
from tests.support.services.processes import ROOT

CHART = ROOT / "deploy/kubernetes/fastcore"


def test_a_backup_runs_the_script_with_the_owner_s_url_alone() -> None:
    chart = rendered("full")
    [script] = [
        each["data"]["backup.sh"] for each in of_kind(chart, "ConfigMap") if "backup.sh" in each["data"]
    ]
    assert script == (CHART / "backup.sh").read_text()
    [job] = of_kind(chart, "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["command"] == ["sh", "/etc/fastcore/backup/backup.sh", "once"]
    given = environment(container)
    assert given["FASTCORE_MIGRATION_DATABASE_URL"] == "fastcore-database-owner"
    assert {name for name in given if not name.startswith("FASTCORE_BACKUP_")} == {
        "FASTCORE_MIGRATION_DATABASE_URL"
    }
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_backups_stay_when_the_chart_is_uninstalled() -> None:
    [claim] = of_kind(rendered("full"), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_without_backups_there_is_no_job_for_them() -> None:
    assert of_kind(rendered("minimal"), "CronJob") == []
