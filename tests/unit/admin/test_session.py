"""Sessions: who may come back, for how long, and what ends it."""

from itsdangerous import URLSafeSerializer

from services.admin.auth.session import SESSION_SECONDS, Sessions

ANN, BOB = "ann-token-for-tests-0123456789", "bob-token-for-tests-0123456789"
NOW = 1_800_000_000.0


def sessions(**actors: str) -> Sessions:
    return Sessions({token: name for name, token in actors.items()}, secure=True)


def test_another_replica_reads_a_session_without_shared_state() -> None:
    cookie = sessions(ann=ANN, bob=BOB).open(BOB, NOW)
    read = sessions(ann=ANN, bob=BOB).read(cookie, NOW + 1)
    assert read is not None
    assert read.actor == "bob"


def test_a_session_ends_after_its_time() -> None:
    known = sessions(ann=ANN)
    cookie = known.open(ANN, NOW)
    assert known.read(cookie, NOW + SESSION_SECONDS - 1)
    assert known.read(cookie, NOW + SESSION_SECONDS) is None


def test_a_session_dies_with_its_token_and_only_with_its_own() -> None:
    cookie = sessions(ann=ANN, bob=BOB).open(ANN, NOW)
    assert sessions(ann="another-token-0123456789", bob=BOB).read(cookie, NOW) is None
    assert sessions(ann=ANN, bob="another-token-0123456789").read(cookie, NOW)


def test_a_changed_or_invented_cookie_is_none() -> None:
    known = sessions(ann=ANN)
    cookie = known.open(ANN, NOW)
    for forged in (
        "", "x", "\xff.\x00", cookie[:-1], cookie[1:], "." + cookie,
        URLSafeSerializer(ANN, salt="session").dumps({"id": "x", "until": 2**40}),
    ):  # fmt: skip
        assert known.read(forged, NOW) is None


def test_a_cookie_holds_neither_token_nor_name() -> None:
    cookie = sessions(ann=ANN).open(ANN, NOW)
    said = URLSafeSerializer(b"").loads_unsafe(cookie)[1]
    assert set(said) == {"id", "until"}


def test_a_form_belongs_to_one_session() -> None:
    known = sessions(ann=ANN)
    first, second = (known.read(known.open(ANN, NOW), NOW) for _ in range(2))
    assert first
    assert second
    assert first.wrote(first.csrf)
    assert not first.wrote(second.csrf)
    assert not first.wrote("")
    assert not first.wrote("\xfcnicode")
