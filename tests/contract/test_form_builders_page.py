"""docs/form-builders.md names each payload that can be posted without the builder."""

import re

from tests.contract.test_readme import PAGES, ROOT
from tests.support.builder_examples import EXAMPLES

PAGE = PAGES[ROOT / "docs/form-builders.md"]


def test_the_page_names_each_payload() -> None:
    table = PAGE[PAGE.index("| builder | payload |") : PAGE.index("## What becomes of the answers")]
    assert set(re.findall(r"`(\w+\.(?:json|txt))`", table)) == {each.file.name for each in EXAMPLES.values()}


def test_its_curl_lines_post_payloads_as_they_are() -> None:
    lines = re.findall(
        r"^curl .*-d @docs/form-builders/(\w+)\.\w+ \S+/inbound/hooks/THE_KEY$", PAGE, re.MULTILINE
    )
    assert len(lines) == 2
    for name in lines:
        is_json = "application/json" in PAGE[: PAGE.index(f"{name}.")].rpartition("curl")[2]
        assert is_json == (not EXAMPLES[name].pairs)
