"""The raw emails in every language, byte for byte. `python -m tests.support.mail.golden` writes them anew."""

from tests.support.mail.golden import FOLDER, golden_mails


def test_every_mail_is_the_golden_one() -> None:
    mails = golden_mails()
    assert {path.name for path in FOLDER.iterdir()} == set(mails)
    for name, content in mails.items():
        assert content == (FOLDER / name).read_bytes(), name
