"""Serves `fastcore.js`, which improves the HTML forms of any web page, with the texts of a site's language.

The source is `site/script/fastcore.js`. `make fastcore-js` builds the template from it.
"""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.responses import Response

from services.ingest.forms.texts import TEXTS, texts_for

SCRIPTS_CACHE: Final = "public, max-age=3600, stale-while-revalidate=604800, stale-if-error=604800"
"""Browsers keep scripts, so that a page has its script while the gateway is unavailable."""
_TEMPLATE: Final = (
    Path(__file__).with_name("templates").joinpath("fastcore.js").read_text(encoding="utf-8").rstrip()
)
_PLACEHOLDER: Final = '"{texts}"'


def script_response(locale: str | None, known_etag: str | None = None) -> Response:
    """Return the script, or a 304 if the browser has it. `known_etag` is the request's `If-None-Match`."""
    language, _ = texts_for(locale)
    content = build_script(language)
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {"Cache-Control": SCRIPTS_CACHE, "ETag": etag}
    if known_etag and etag in known_etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/javascript", headers=headers)


@cache
def build_script(language: str) -> bytes:
    """Return the script with the texts of a language of `TEXTS`."""
    texts = TEXTS[language]
    values = (texts.thanks, texts.saved, texts.saved_sent, texts.error_title)
    arguments = ",".join(json.dumps(each, ensure_ascii=False) for each in values)
    return _TEMPLATE.replace(_PLACEHOLDER, arguments).encode()
