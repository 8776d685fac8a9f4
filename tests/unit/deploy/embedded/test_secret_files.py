"""New and existing folders with personal data are not accessible to other users."""

from pathlib import Path

from deploy.embedded.mailbox.store import MailStore
from deploy.embedded.secret_files import restrict


def test_a_new_folder_is_accessible_to_its_owner_only(tmp_path: Path) -> None:
    restrict(tmp_path / "data" / "run")
    assert (tmp_path / "data" / "run").stat().st_mode & 0o777 == 0o700


def test_regression_an_existing_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    restrict(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_an_existing_mailbox_is_closed_to_other_users(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    MailStore(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
