"""The signature of a mail, verified by dkimpy and by Mail::DKIM with the key from a real DNS server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.mail.dkim_key import make_private_key, parse_private_key
from services.notifier.mail.dkim_signature import DkimSigner, relaxed_body, relaxed_header
from services.notifier.mail.message import Identity, compose
from tests.support.factories import lead
from tests.support.mail.dkim_verifiers import verify
from tests.support.mail.dns_server import DnsServer, dns_server

SIGNER = DkimSigner("nord.studio", "fc1", parse_private_key(make_private_key(2048)))
IDENTITY = Identity("hello@mail.nord.studio", "Studio Nørd", ("team@nord.studio",), reply_to="o@nord.studio")
BYTES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"=", b".", b"\xc3\xa9"])).map(b"".join)


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        server.txt(SIGNER.record_name, SIGNER.record_value)
        yield server


def signed(kind: str = "welcome", name: str = "Łukasz Żółć", email: str = "ada@sud.studio") -> bytes:
    identity = IDENTITY if kind == "welcome" else replace(IDENTITY, admins=(email,))
    mail = compose(
        "welcome" if kind == "welcome" else "admin_alert",
        lead(name=name, email=email, message="First.\n\n .\n\ttab  and   blanks \n" * 20),
        identity,
        datetime(2026, 11, 30, tzinfo=UTC),
    )
    return SIGNER.sign(mail.content, 1_790_000_000)


@pytest.mark.parametrize("kind", ["welcome", "admin_alert"])
@pytest.mark.parametrize("email", ["ada@sud.studio", "żółć@sud.studio"])
async def test_two_other_programs_verify_the_signature(zone: DnsServer, kind: str, email: str) -> None:
    content = signed(kind, email=email)
    assert content.startswith(
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=nord.studio; s=fc1;"
    )
    assert max(map(len, content.partition(b"\r\nDate:")[0].split(b"\r\n"))) <= 78
    assert await verify(content, zone) == (True, "pass")


@pytest.mark.parametrize(
    "change",
    [
        (b"\r\nDate: ", b"\r\nDATE:   "),
        (b"\r\nTo: ada@", b"\r\nTo:\r\n ada@"),
        (b"Content-Type: text/plain", b"Content-Type:  text/plain"),
        (b"--\r\n", b"-- \t\r\n\r\n\r\n"),
    ],
    ids=["case", "folded", "blanks", "ends"],
)
async def test_what_servers_change_on_the_way_does_no_harm(
    zone: DnsServer, change: tuple[bytes, bytes]
) -> None:
    head, boundary, end = signed().rpartition(change[0])
    assert boundary
    assert await verify(head + change[1] + end, zone) == (True, "pass")


@pytest.mark.parametrize(
    "change",
    [
        (b"\r\nFrom: ", b"\r\nFrom: evil@x.studio\r\nFrom: "),
        (b"\r\nSubject: ", b"\r\nSubject: Pay\r\nSubject: "),
        (b"\r\nSubject: ", b"\r\nCc: evil@x.studio\r\nSubject: "),
        (b"\r\nSubject: ", b"\r\nSubject: Re: "),
        (b"\r\nReply-To: o@", b"\r\nReply-To: x@"),
        (b"\r\nAuto-Submitted: auto-generated", b"\r\nAuto-Submitted: no"),
        (b"</p>", b"!</p>"),
    ],
    ids=["second-from", "second-subject", "new-cc", "subject", "reply-to", "auto", "body"],
)
async def test_a_changed_mail_does_not_verify(zone: DnsServer, change: tuple[bytes, bytes]) -> None:
    content = signed()
    assert change[0] in content
    by_dkimpy, by_perl = await verify(content.replace(*change, 1), zone)
    assert not by_dkimpy
    assert by_perl.startswith("fail")


async def test_repeated_headers_are_signed_from_the_last(zone: DnsServer) -> None:
    repeated = b"From: a@nord.studio\r\nTo: b@sud.studio\r\nTo: c@sud.studio\r\n\r\nHello\r\n"
    assert await verify(SIGNER.sign(repeated, 1_790_000_000), zone) == (True, "pass")


async def test_a_mail_does_not_verify_by_another_key(zone: DnsServer) -> None:
    other = replace(SIGNER, key=parse_private_key(make_private_key(2048)))
    zone.records.clear()
    zone.txt(SIGNER.record_name, other.record_value)
    by_dkimpy, by_perl = await verify(signed(), zone)
    assert (by_dkimpy, by_perl[:4]) == (False, "fail")


@given(BYTES)
def test_the_relaxed_body_is_that_of_dkimpy(body: bytes) -> None:
    ended = body + b"\r\n"  # as our mails end
    assert relaxed_body(ended) == Relaxed.canonicalize_body(ended)


@given(BYTES)
def test_a_relaxed_header_is_that_of_dkimpy(value: bytes) -> None:
    folded = value.replace(b"\r\n", b"\r\n ")
    ((name, relaxed),) = Relaxed.canonicalize_headers([(b"Subject", folded)])
    assert relaxed_header(b"Subject:" + folded) + b"\r\n" == name + b":" + relaxed


def test_a_mail_without_a_body_is_not_signed() -> None:
    with pytest.raises(ValueError, match="no body"):
        SIGNER.sign(b"From: a@nord.studio\r\n", 0)


def test_the_key_is_not_in_the_repr() -> None:
    assert repr(SIGNER) == "DkimSigner(domain='nord.studio', selector='fc1')"
