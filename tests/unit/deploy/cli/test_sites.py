"""`python -m deploy.cli.sites check FILE`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.sites import app

TOKEN = "a-token-of-a-website-1234567890"
FILE = """
[defaults]
locale = "de"
[sites.studio]
tokens = ["env:STUDIO_TOKEN"]
from = "Studio Nord <hello@studio.example>"
fields = { name = ["your-name"] }
"""


def check(folder: Path, text: str) -> tuple[int, str]:
    file = folder / "sites.toml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["check", str(file)])
    return result.exit_code, result.output


def test_a_valid_file_shows_each_site_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_TOKEN", TOKEN)
    code, output = check(tmp_path, FILE)
    assert code == 0, output
    assert "1 sites, no mistakes" in output
    for shown in ("studio", "env:STUDIO_TOKEN", "Studio Nord <hello@studio.example>", "name: your-name"):
        assert shown in output
    assert "locale           de" in output
    assert TOKEN not in output


def test_mistakes_and_unset_variables_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDIO_TOKEN", raising=False)
    code, output = check(tmp_path, FILE)
    assert code == 1
    assert "sites.studio.tokens: the variable STUDIO_TOKEN is not set" in output
    code, output = check(tmp_path, "[sites.x]\nlocale = 1")
    assert (code, "sites.x.locale: must be text in quotes" in output) == (1, True)
