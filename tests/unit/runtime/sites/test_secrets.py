"""The references `env:` and `file:`: how secrets are read, and how an unusable one is reported."""

import base64
from hashlib import sha256
from pathlib import Path

import pytest

from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.model import Sites
from runtime.sites.secrets import check_secrets, resolve_destinations, resolve_digests

TOKEN = "a-token-of-a-website-1234567890"
DIGEST = sha256(TOKEN.encode()).hexdigest()
STUDIO = f"""
[sites.studio]
tokens = ["env:STUDIO_TOKEN", "sha256:{"9f" * 32}"]
"""
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_secrets_resolve_to_the_digests_of_their_sites() -> None:
    sites = parse_sites(STUDIO.encode())
    digests = resolve_digests(sites, "tokens", {"STUDIO_TOKEN": f" {TOKEN}\n"}, permit_weak=False)
    assert digests == {bytes.fromhex(DIGEST): "studio", bytes.fromhex("9f" * 32): "studio"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "sites.studio.tokens: the variable STUDIO_TOKEN is not set"),
        ({"STUDIO_TOKEN": "secret"}, "sites.studio.tokens: the value of STUDIO_TOKEN is an example"),
    ],
)
def test_a_secret_that_is_missing_or_weak_is_a_mistake(variables: dict[str, str], message: str) -> None:
    sites = parse_sites(STUDIO.encode())
    with pytest.raises(SitesFileError, match=message):
        resolve_digests(sites, "tokens", variables, permit_weak=False)
    if variables:
        assert resolve_digests(sites, "tokens", variables, permit_weak=True)


def test_two_variables_with_one_value_cannot_name_two_sites() -> None:
    sites = parse_sites(f"[sites.x]\ntokens = ['env:X']\n[sites.y]\ntokens = ['sha256:{DIGEST}']".encode())
    with pytest.raises(SitesFileError, match=r"sites\.y\.tokens: the site x has the same value"):
        resolve_digests(sites, "tokens", {"X": TOKEN}, permit_weak=False)


def destination(url: str = "https://a.example/", key: str = "env:KEY") -> Sites:
    """Return sites with one destination of the kind webhook."""
    text = f"[sites.x]\n[[destinations]]\nname = 'crm'\nkind = 'webhook'\nurl = '{url}'\nsecret = '{key}'\n"
    return parse_sites(text.encode())


def api(headers: str) -> Sites:
    """Return sites with one destination of the kind http."""
    text = (
        "[sites.x]\n[[destinations]]\nname = 'api'\nkind = 'http'\nurl = 'https://a.example/'\nbody = 'x'\n"
    )
    return parse_sites(f"{text}headers = {headers}\n".encode())


def test_a_destination_resolves_its_url_secrets_and_headers(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    made = resolve_destinations(destination("env:URL", f"file:{file}"), {"URL": " https://b.example/hook\n"})
    assert (made["crm"].url, made["crm"].secrets) == ("https://b.example/hook", (KEY,))
    headers = resolve_destinations(api("{ A = 'env:A', B = 'plain' }"), {"A": "Bearer 1"})["api"].headers
    assert headers == {"A": "Bearer 1", "B": "plain"}


def test_its_repr_has_no_secret() -> None:
    made = resolve_destinations(destination("env:URL"), {"URL": "https://b.example/s3cret", "KEY": KEY})
    assert "s3cret" not in repr(made)
    assert KEY not in repr(made)


@pytest.mark.parametrize("size", [24, 64])
def test_a_signing_secret_has_24_to_64_bytes(size: int) -> None:
    encoded = base64.b64encode(b"k" * size).decode()
    for key in (encoded, f"whsec_{encoded}"):
        assert resolve_destinations(destination(), {"KEY": key})["crm"].secrets == (key,)


FORM = "destinations.crm.secret: the value of env:KEY must be whsec_ and 24 to 64 bytes in base64"


@pytest.mark.parametrize(
    "key",
    [
        "whsec_" + base64.b64encode(b"k" * 23).decode(), "whsec_" + base64.b64encode(b"k" * 65).decode(),
        "whsec_not base64 but long enough for one", "whsec_", "a-plain-password-of-32-characters",
        KEY + "ä", KEY[:-1],
    ],
)  # fmt: skip
def test_another_signing_secret_is_a_mistake_without_its_value(key: str) -> None:
    with pytest.raises(SitesFileError) as raised:
        resolve_destinations(destination(), {"KEY": key})
    assert str(raised.value) == f"{FORM} (docs/destinations.md)"


@pytest.mark.parametrize(
    ("sites", "variables", "message"),
    [
        (destination(), {}, "destinations.crm.secret: the variable KEY is not set"),
        (destination(), {"KEY": " \n"}, "destinations.crm.secret: the variable KEY is not set"),
        (destination("env:URL"), {"KEY": KEY}, "destinations.crm.url: the variable URL is not set"),
        (destination("env:URL"), {"KEY": KEY, "URL": "s3cret"},
         "destinations.crm.url: the value of env:URL must be a URL such as"),
        (destination("env:URL"), {"KEY": KEY, "URL": "https://me:s3cret@a.example/"},
         "destinations.crm.url: the value of env:URL must be a URL such as"),
        (api("{ A = 'env:A' }"), {}, "destinations.api.headers.A: the variable A is not set"),
        (api("{ A = 'env:A' }"), {"A": "s3cret\r\nB: x"},
         "destinations.api.headers.A: must be printable ASCII"),
        (api("{ A = 'env:A' }"), {"A": "s3crét"}, "destinations.api.headers.A: must be printable ASCII"),
    ],
)  # fmt: skip
def test_a_value_that_is_missing_or_unusable_is_not_shown(
    sites: Sites, variables: dict[str, str], message: str
) -> None:
    for resolve in (lambda: resolve_destinations(sites, variables),
                    lambda: check_secrets(sites, variables, permit_weak=False)):  # fmt: skip
        with pytest.raises(SitesFileError) as raised:
            resolve()
        assert str(raised.value).startswith(message)
        assert "s3cr" not in str(raised.value)


def test_a_file_that_is_absent_empty_or_no_text_is_a_mistake(tmp_path: Path) -> None:
    absent, empty, binary = (tmp_path / name for name in ("absent", "empty", "binary"))
    empty.write_text(" \n")
    binary.write_bytes(b"\xff\xfe")
    for file in (absent, empty, binary, tmp_path):
        with pytest.raises(SitesFileError) as raised:
            resolve_destinations(destination(key=f"file:{file}"), {})
        assert str(raised.value) == f"destinations.crm.secret: the file {file} cannot be read, or is empty"
