"""The mailbox shows untrusted emails safely."""

from pathlib import Path

import httpx
import pytest

from deploy.embedded.mailbox.store import MailStore
from deploy.embedded.mailbox.web import create_app

EVIL = "<script>alert(1)</script>"
MAIL = (
    b"From: Leads <leads@fastcore.example>\r\nTo: ada@example.com\r\nSubject: " + EVIL.encode() + b"\r\n"
    b"Message-ID: <welcome.1@fastcore.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello \xc3\x84da " + EVIL.encode() + b"\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>" + EVIL.encode() + b"\r\n--b--\r\n"
)


@pytest.fixture
def mails(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path)


@pytest.fixture
def client(mails: MailStore) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(mails))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8025")


def test_a_mail_is_stored_unchanged_below_the_envelope(mails: MailStore) -> None:
    mail_id = mails.add("leads@fastcore.example", ["ada@example.com", "bob@example.com"], MAIL)
    source = (mails.folder / f"{mail_id}.eml").read_bytes()
    head = b"Return-Path: <leads@fastcore.example>\r\n"
    head += b"Delivered-To: ada@example.com\r\nDelivered-To: bob@example.com\r\n"
    assert source == head + MAIL
    assert [path.name for path in mails.folder.iterdir()] == [f"{mail_id}.eml"]


async def test_mails_are_listed_newest_first_and_by_recipient(
    mails: MailStore, client: httpx.AsyncClient
) -> None:
    first = mails.add("a@b.example", ["ada@example.com"], MAIL)
    second = mails.add("a@b.example", ["bob@example.com"], MAIL)
    listed = (await client.get("/api/messages")).json()
    assert [one["id"] for one in listed] == [second, first]
    assert (
        listed[1].items()
        >= {
            "from": "Leads <leads@fastcore.example>",
            "to": ["ada@example.com"],
            "subject": EVIL,
            "message_id": "<welcome.1@fastcore.example>",
        }.items()
    )
    found = (await client.get("/api/messages", params={"to": "ada@example.com"})).json()
    assert [one["id"] for one in found] == [first]


async def test_one_mail_has_its_parts_and_headers(mails: MailStore, client: httpx.AsyncClient) -> None:
    mail = (await client.get(f"/api/messages/{mails.add('a@b.example', ['x@y.example'], MAIL)}")).json()
    assert mail["text"].startswith("Hello Äda")
    assert mail["html"].startswith("<p>Hello</p>")
    assert ["To", "ada@example.com"] in mail["headers"]


@pytest.mark.parametrize("path", ["/", "/mails/{id}"])
async def test_no_word_of_a_mail_becomes_markup_of_a_page(
    path: str, mails: MailStore, client: httpx.AsyncClient
) -> None:
    mail_id = mails.add(f"{EVIL}@b.example", [f"{EVIL}@y.example"], MAIL)
    answer = await client.get(path.format(id=mail_id))
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


async def test_a_mails_html_is_sandboxed_in_its_frame_and_outside_it(
    mails: MailStore, client: httpx.AsyncClient
) -> None:
    mail_id = mails.add("a@b.example", ["x@y.example"], MAIL)
    assert "<iframe sandbox " in (await client.get(f"/mails/{mail_id}")).text
    html = await client.get(f"/mails/{mail_id}/html")
    assert html.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


async def test_the_source_is_plain_text(mails: MailStore, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/mails/{mails.add('a@b.example', ['x@y.example'], MAIL)}/source")
    assert answer.content.endswith(MAIL)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_deleting_leaves_none(mails: MailStore, client: httpx.AsyncClient) -> None:
    mails.add("a@b.example", ["x@y.example"], MAIL)
    assert (await client.delete("/api/messages")).json() == {"deleted": 1}
    assert (await client.get("/api/messages")).json() == []


@pytest.mark.parametrize("mail_id", ["nope", "..%2F..%2Fpasswords", "20260101T000000000000-00000000"])
async def test_an_unknown_mail_is_a_404(mail_id: str, client: httpx.AsyncClient) -> None:
    for path in (f"/mails/{mail_id}", f"/mails/{mail_id}/html", f"/api/messages/{mail_id}"):
        assert (await client.get(path)).status_code == 404


async def test_a_page_of_another_name_for_this_machine_reads_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/messages", headers={"Host": "evil.example"})).status_code == 400


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?utf-8?q?=ff?=\r\nFrom: <<>>,,\r\nDate: never\r\n\r\nbody",
        b"Content-Type: text/plain; charset=no-such\r\n\r\n\xe4",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts",
    ],
)
async def test_a_malformed_mail_can_be_seen_all_the_same(
    mail: bytes, mails: MailStore, client: httpx.AsyncClient
) -> None:
    mail_id = mails.add("", ["x@y.example"], mail)
    for path in ("/", f"/mails/{mail_id}", f"/mails/{mail_id}/html", f"/api/messages/{mail_id}"):
        assert (await client.get(path)).status_code == 200
