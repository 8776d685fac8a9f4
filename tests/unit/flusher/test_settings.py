"""The flusher's settings, and the values that it refuses at its start."""

from pathlib import Path

import pytest

from runtime.settings import load
from services.flusher.app import create_app
from services.flusher.settings import Settings

NEEDED = {"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "DATABASE_URL": "postgresql://f:f@db/f"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_the_queue_is_flushed_every_five_minutes() -> None:
    assert load(Settings).cron == "*/5 * * * *"


@pytest.mark.parametrize("wrong", ["every five minutes", "*/5 * * *", "61 * * * *", "* * * * * *"])
def test_a_schedule_that_is_no_cron_line_stops_the_start_by_name(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTCORE_FLUSHER_CRON", wrong)
    with pytest.raises(SystemExit, match="FASTCORE_FLUSHER_CRON: must be a cron line of five fields"):
        load(Settings)


SITES = {
    "FASTCORE_SITE_QUEUE_URL": "https://www.example.com/api/contact/queue, shop:http://shop.example:3000/q",
    "FASTCORE_SITE_QUEUE_TOKEN": "first,shop:second",
    "FASTCORE_SITE_INGEST_TOKEN": "new,old,shop:third",
    "FASTCORE_FLUSHER_GATEWAY_URL": "http://ingest:8001",
}


def test_each_website_has_its_queue_and_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SITES.items():
        monkeypatch.setenv(name, value)
    sites = [
        (each.name, each.queue_url, each.queue_token, each.ingest_token) for each in load(Settings).sites()
    ]
    assert sites == [
        ("default", "https://www.example.com/api/contact/queue", "first", "new"),
        ("shop", "http://shop.example:3000/q", "second", "third"),
    ]


def test_regression_a_website_in_the_sites_file_needs_no_token_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    digest = f"sha256:{'0' * 64}"
    file.write_text(
        f'[sites.shop]\ntokens = ["{digest}", "env:UNSET", "env:SHOP_TOKEN"]\n'
        '[sites.default]\ntokens = ["env:SHOP_OTHER"]\n'
    )
    variables = SITES | {
        "FASTCORE_SITES_FILE": str(file), "FASTCORE_SITE_INGEST_TOKEN": "new", "SHOP_TOKEN": "from-the-file",
        "SHOP_OTHER": "not used",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tokens = {each.name: each.ingest_token for each in load(Settings).sites()}
    assert tokens == {"default": "new", "shop": "from-the-file"}
    monkeypatch.delenv("SHOP_TOKEN")
    with pytest.raises(SystemExit, match="no token for the site shop"):
        load(Settings)


def test_no_website_keeps_a_queue_unless_one_is_named() -> None:
    assert load(Settings).sites() == []


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "FASTCORE_SITE_QUEUE_URL",
            "www.example.com/queue",
            "FASTCORE_SITE_QUEUE_URL: must be a comma-separated",
        ),
        ("FASTCORE_SITE_QUEUE_URL", "http://a/q,http://b/q", "names the site default twice"),
        ("FASTCORE_SITE_QUEUE_TOKEN", "first", "FASTCORE_SITE_QUEUE_TOKEN has no token for the site shop"),
        (
            "FASTCORE_SITE_INGEST_TOKEN",
            "shop:x",
            "FASTCORE_SITE_INGEST_TOKEN has no token for the site default",
        ),
        ("FASTCORE_FLUSHER_GATEWAY_URL", "", "FASTCORE_FLUSHER_GATEWAY_URL is missing"),
    ],
)
def test_half_a_website_stops_the_start_by_name(
    variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {**SITES, variable: value}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit, match=words):
        load(Settings)


STRONG = {
    "FASTCORE_SITE_QUEUE_URL": "https://www.example.com/queue",
    "FASTCORE_SITE_QUEUE_TOKEN": "kP4vXw0sN8cQzL2mRt7yBd5e",
    "FASTCORE_SITE_INGEST_TOKEN": "Gh3jUf9aKo1iVx6lSb2nTc8q",
    "FASTCORE_FLUSHER_GATEWAY_URL": "http://ingest:8001",
}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FASTCORE_SITE_QUEUE_TOKEN", "dev-queue-token-xyz-123"),
        ("FASTCORE_SITE_QUEUE_TOKEN", "a" * 24),
        ("FASTCORE_SITE_INGEST_TOKEN", "changeme" * 3),
        ("FASTCORE_SITE_QUEUE_URL", "http://www.example.com/queue"),
        ("FASTCORE_SITE_QUEUE_URL", "http://8.8.8.8/queue"),
        ("FASTCORE_FLUSHER_GATEWAY_URL", "http://leads.example.com"),
    ],
)
def test_regression_weak_token_and_public_plain_http_are_refused(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {**STRONG, variable: value}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit, match=variable) as stopped:
        create_app()
    assert "token" not in variable.lower() or value not in str(stopped.value)
    monkeypatch.setenv("DEBUG", "true")
    create_app()


@pytest.mark.parametrize(
    "url",
    [
        "https://www.example.com/queue",
        "http://127.0.0.1:3000/queue",
        "http://[::1]/queue",
        "http://10.1.2.3/queue",
        "http://localhost:3000/queue",
        "http://website:3000/queue",
        "http://website.shop.svc:3000/queue",
        "http://website.shop.svc.cluster.local/queue",
        "http://website.internal/queue",
    ],
)
def test_plain_http_is_for_names_and_addresses_of_a_private_network(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {**STRONG, "FASTCORE_SITE_QUEUE_URL": url}.items():
        monkeypatch.setenv(name, text)
    create_app()


def test_no_token_of_a_website_is_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SITES.items():
        monkeypatch.setenv(name, value)
    settings = load(Settings)
    assert not {"first", "second", "third"} & set(
        f"{settings!r} {settings.sites()!r}".replace("'", " ").split()
    )
