"""No template relies on htmx's inheritance: an attribute belongs to the element that sends the request.

A form in a polled region once inherited the region's `hx-select`, which dropped the form's response.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import services.admin.dashboard

TEMPLATES = Path(services.admin.dashboard.__file__).with_name("templates")
REQUESTS = {"hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete"}
# These need no request of their own. htmx adds `hx-headers` of all parents, also without inheritance.
WITHOUT_REQUEST = {"hx-headers", "hx-preserve", "hx-swap-oob"}


class Elements(HTMLParser):
    """Collects the htmx attributes of each element of a template."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.found: list[tuple[str, set[str]]] = []
        self.feed(re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", template, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if names := {name for name, _ in attrs if name.startswith("hx-")}:
            self.found.append((tag, names))


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_no_template_relies_on_inheritance(path: Path) -> None:
    for tag, names in Elements(path.read_text(encoding="utf-8")).found:
        assert "hx-inherit" not in names, tag
        if names & REQUESTS:
            assert "hx-swap" in names, f"{tag}: a request says itself what happens with its response"
        else:
            assert names <= WITHOUT_REQUEST, f"{tag}: {names} concern only the elements in it"


def test_htmx_inherits_no_attribute() -> None:
    layout = (TEMPLATES / "layout.html").read_text(encoding="utf-8")
    config = re.search(r"name=\"htmx-config\" content='(.*?)'", layout)
    assert config
    assert json.loads(config[1])["disableInheritance"] is True
