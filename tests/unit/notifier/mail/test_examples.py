"""The example emails in docs/emails: what FASTCore sends now, and pictures of exactly that."""

import json
from email import message_from_bytes, policy

import pytest

from tests.property.test_mail_parts import assert_same_words
from tests.support.mail.examples import FOLDER, HASHES, LEADS, example_mails, html_digests, picture_names
from tests.support.mail.html import Document, part_of

MAILS = example_mails()
ANEW = "run: python -m tests.support.mail.examples"


@pytest.mark.parametrize("name", MAILS)
def test_a_raw_email_is_the_one_that_is_sent(name: str) -> None:
    assert (FOLDER / f"{name}.eml").read_bytes() == MAILS[name], ANEW


def test_the_pictures_show_these_emails() -> None:
    assert json.loads(HASHES.read_text()) == html_digests(), ANEW
    pictures = {file: width for name in MAILS for file, width, _ in picture_names(name)}
    assert {path.name for path in FOLDER.glob("*.png")} == set(pictures)
    for file, width in pictures.items():
        header = (FOLDER / file).read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(header[16:20]) == width


def test_both_parts_of_the_sites_emails_have_the_same_words() -> None:
    for content in MAILS.values():
        assert_same_words(content)


@pytest.mark.parametrize(
    ("site", "language", "words", "sender"),
    [
        ("studio", "de", ("Herzliche Grüße aus Kiel", "Neue Anfrage"), "Studio Nord"),
        ("atelier", "fr", ("Votre demande est entre les mains", "Nouvelle demande"), "Atelier Vert"),
    ],
)
def test_each_site_writes_in_its_language_with_its_templates(
    site: str, language: str, words: tuple[str, str], sender: str
) -> None:
    for mail, text in zip(("welcome", "alert"), words, strict=True):
        content = MAILS[f"{site}-{mail}"]
        for kind in ("plain", "html"):
            assert text in part_of(content, kind)
        document = Document(part_of(content, "html"))
        assert document.all("html")[0].attributes["lang"] == language
        assert str(message_from_bytes(content, policy=policy.default)["From"]).startswith(sender)
        colour = {"studio": "#1d6b4f", "atelier": "#7a4a10"}[site]
        links = [each for each in document.all("a") if "button" not in each.attributes["class"]]
        assert all(each.style["color"] == colour for each in links)
    assert set(LEADS) == {"studio", "atelier", ""}
