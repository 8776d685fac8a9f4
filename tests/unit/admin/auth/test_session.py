"""Session cookies: verification, expiry and CSRF tokens."""

from itsdangerous import URLSafeSerializer

from services.admin.auth.session import SESSION_SECONDS, Sessions

ANN, BOB = "ann-token-for-tests-0123456789", "bob-token-for-tests-0123456789"
NOW = 1_800_000_000.0


def sessions(**actors: str) -> Sessions:
    return Sessions({token: name for name, token in actors.items()}, secure=True)


def test_a_session_is_read_by_another_replica() -> None:
    cookie = sessions(ann=ANN, bob=BOB).create(BOB, NOW)
    read = sessions(ann=ANN, bob=BOB).read(cookie, NOW + 1)
    assert read is not None
    assert read.actor == "bob"


def test_a_session_expires() -> None:
    signer = sessions(ann=ANN)
    cookie = signer.create(ANN, NOW)
    assert signer.read(cookie, NOW + SESSION_SECONDS - 1)
    assert signer.read(cookie, NOW + SESSION_SECONDS) is None


def test_a_session_ends_when_its_own_token_is_removed() -> None:
    cookie = sessions(ann=ANN, bob=BOB).create(ANN, NOW)
    assert sessions(ann="another-token-0123456789", bob=BOB).read(cookie, NOW) is None
    assert sessions(ann=ANN, bob="another-token-0123456789").read(cookie, NOW)


def test_a_forged_cookie_has_no_session() -> None:
    signer = sessions(ann=ANN)
    cookie = signer.create(ANN, NOW)
    for forged in (
        "", "x", "\xff.\x00", cookie[:-1], cookie[1:], "." + cookie,
        URLSafeSerializer(ANN, salt="session").dumps({"id": "x", "until": 2**40}),
    ):  # fmt: skip
        assert signer.read(forged, NOW) is None


def test_a_cookie_contains_neither_token_nor_actor() -> None:
    cookie = sessions(ann=ANN).create(ANN, NOW)
    payload = URLSafeSerializer(b"").loads_unsafe(cookie)[1]
    assert set(payload) == {"id", "until"}


def test_a_csrf_token_matches_one_session_only() -> None:
    signer = sessions(ann=ANN)
    first, second = (signer.read(signer.create(ANN, NOW), NOW) for _ in range(2))
    assert first
    assert second
    assert first.csrf_matches(first.csrf)
    assert not first.csrf_matches(second.csrf)
    assert not first.csrf_matches("")
    assert not first.csrf_matches("\xfcnicode")
