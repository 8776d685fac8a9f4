"""The pages of a list: which cursors lead to the newer and the older page, and the URL of a page. No I/O.

A cursor says where a page begins, and only leads to older pages. So the parameter `cursor` of a page has the
cursors of all pages before it too, joined by dots, which no cursor contains: the last one is the page's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

# A cursor has about 100 characters, and proxies limit URLs to 4 to 8 kB. From deeper pages, `newer` leads
# back over so many pages and then to the newest one.
MAX_CURSORS: Final = 20


@dataclass(frozen=True)
class Pager:
    """The values of the parameter `cursor` for other pages; None if there is no such page.

    An empty text is the newest page.
    """

    newest: str | None
    newer: str | None
    older: str | None


def last_cursor(cursors: str | None) -> str | None:
    """Return a page's own cursor, from its parameter `cursor`; None for the newest page."""
    return (cursors or "").rpartition(".")[2] or None


def build_pager(cursors: str | None, next_cursor: str | None) -> Pager:
    """Return the pager of the page with this parameter `cursor`. `next_cursor` is that of the older page."""
    trail = [cursor for cursor in (cursors or "").split(".") if cursor]
    older = ".".join([*trail, next_cursor][-MAX_CURSORS:]) if next_cursor else None
    return Pager(
        newest="" if len(trail) > 1 else None, newer=".".join(trail[:-1]) if trail else None, older=older
    )


def page_url(path: str, params: Mapping[str, Any], cursor: str | None = None, zone: str = "") -> str:
    """Return the path with the parameters that are set, as text, and with `cursor`.

    A parameter may have several values. If there are dates (`since`, `until` or `received`), the URL also has
    the `zone` in which they are meant.
    """
    dated = params.get("since") or params.get("until") or params.get("received")
    shown = {**params, "zone": zone if dated else "", "cursor": cursor}
    used = {name: value for name, value in shown.items() if value}
    return f"{path}?{urlencode(used, doseq=True)}" if used else path
