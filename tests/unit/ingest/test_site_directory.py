"""The gateway's sites: tokens of the environment and of the sites file, and the origins of both."""

from hashlib import sha256
from pathlib import Path

import pytest

from runtime.settings import Debug, Kafka, SitesFile
from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.model import Sites
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory
from tests.support.services.gateway import TOKEN

OTHER = "another-token-of-a-website-987654"
DIGEST = sha256(OTHER.encode()).hexdigest()


def directory(text: str, variables: dict[str, str] | None = None, **fields: object) -> SiteDirectory:
    settings = Settings.model_validate(
        {"kafka": Kafka(bootstrap_servers="127.0.0.1:1"), "site_tokens": f"www:{TOKEN}"} | fields
    )
    return SiteDirectory(settings, parse_sites(text.encode()) if text else Sites(), variables or {})


def test_tokens_of_both_sources_are_valid() -> None:
    found = directory(f"[sites.shop]\ntokens = ['sha256:{DIGEST}']").find_by_header
    assert found(f"Bearer {TOKEN}") == "www"
    assert found(f"Bearer {OTHER}") == "shop"
    assert found(f"Bearer {DIGEST}") is None


def test_one_token_cannot_name_a_site_in_each_source() -> None:
    file = "[sites.shop]\ntokens = ['env:SHOP']"
    with pytest.raises(SitesFileError, match=r"sites\.shop\.tokens: FASTCORE_SITE_INGEST_TOKEN gives"):
        directory(file, {"SHOP": TOKEN})
    same = directory("[sites.www]\ntokens = ['env:WWW']", {"WWW": TOKEN})
    assert same.find_by_header(f"Bearer {TOKEN}") == "www"


def test_a_new_version_replaces_tokens_and_origins() -> None:
    sites = directory(f"[sites.shop]\ntokens = ['sha256:{DIGEST}']\norigins = ['https://shop.example']")
    assert sites.allows_origin("https://shop.example")
    sites.apply(parse_sites(b"[sites.shop]\norigins = ['https://new.example']"))
    assert sites.find_by_header(f"Bearer {OTHER}") is None
    assert sites.allows_origin("https://new.example")
    assert not sites.allows_origin("https://shop.example")


def test_a_version_that_cannot_be_used_changes_nothing() -> None:
    sites = directory(f"[sites.shop]\ntokens = ['sha256:{DIGEST}']")
    with pytest.raises(SitesFileError, match="the variable ABSENT is not set"):
        sites.apply(parse_sites(b"[sites.shop]\ntokens = ['env:ABSENT']"))
    assert sites.find_by_header(f"Bearer {OTHER}") == "shop"


def test_origins_of_both_sources_are_allowed() -> None:
    sites = directory("[sites.shop]\norigins = ['https://shop.example']", cors_origins="https://www.example")
    assert sites.allows_origin("https://shop.example")
    assert sites.allows_origin("https://www.example")
    assert not sites.allows_origin("https://evil.example")


def test_example_tokens_need_debug_mode() -> None:
    file, variables = "[sites.shop]\ntokens = ['env:SHOP']", {"SHOP": "dev-token-xyz-123"}
    with pytest.raises(SitesFileError, match="is an example"):
        directory(file, variables)
    permitted = directory(file, variables, debug=Debug(DEBUG=True))
    assert permitted.find_by_header("Bearer dev-token-xyz-123") == "shop"


def test_the_gateway_needs_a_token_or_the_file() -> None:
    with pytest.raises(ValueError, match="FASTCORE_SITE_INGEST_TOKEN is missing: give a token, or set"):
        directory("", site_tokens=None)
    sites = directory("[sites.shop]", site_tokens=None, sites_file=SitesFile(path=Path("sites.toml")))
    assert sites.get("shop").tokens == ()
