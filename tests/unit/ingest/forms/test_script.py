"""`fastcore.js`: it has the texts of the site's language, and stays small."""

import json

import pytest

from services.ingest.forms.script import build_script
from services.ingest.forms.texts import TEXTS
from tests.support.services.gateway import Gateway, expect_problem
from tests.unit.ingest.forms.test_endpoint import PATH

SCRIPT = f"{PATH}/fastcore.js"


@pytest.mark.parametrize("language", TEXTS)
def test_the_script_of_each_language_is_under_3_kilobytes(language: str) -> None:
    texts, script = TEXTS[language], build_script(language)
    assert len(script) < 3000
    for text in (texts.thanks, texts.saved, texts.saved_sent, texts.error_title):
        assert json.dumps(text, ensure_ascii=False) in script.decode()


async def test_a_site_has_the_script_in_its_language(gateway: Gateway) -> None:
    answer = await gateway.client.get(SCRIPT)
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert TEXTS["de"].saved_sent in answer.text
    english = await gateway.client.get("/inbound/forms/shop-4k7w9q2m/fastcore.js")
    assert TEXTS["en"].saved_sent in english.text
    assert english.text == (await gateway.client.get("/inbound/static/fastcore.js")).text
    expect_problem(await gateway.client.get("/inbound/forms/unknown-key/fastcore.js"), 404)


@pytest.mark.parametrize("path", [SCRIPT, "/inbound/static/fastcore.js"])
async def test_browsers_cache_the_script(gateway: Gateway, path: str) -> None:
    answer = await gateway.client.get(path)
    assert "stale-if-error=604800" in answer.headers["Cache-Control"]
    known = {"If-None-Match": f"W/{answer.headers['ETag']}"}
    unchanged = await gateway.client.get(path, headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (await gateway.client.head(path)).status_code == 200
