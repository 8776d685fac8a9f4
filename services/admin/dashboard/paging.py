"""The links between the pages of a list. No I/O.

A cursor marks the row where a page begins. It finds only older rows. So that a page can link back to newer
pages, its URL parameter `cursor` is a list of cursors: those of the newer pages, then its own. The list is
separated by dots, which no cursor contains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

# A cursor has about 100 characters, and proxies limit URLs to 4 to 8 kB. From a deeper page, the link `newer`
# leads back through this many pages, and then to the newest page.
MAX_CURSORS: Final = 20


@dataclass(frozen=True)
class Pager:
    """The values of the URL parameter `cursor` in the links to other pages. None means that there is no link.

    The value for the newest page is an empty text.
    """

    newest: str | None
    newer: str | None
    older: str | None


def last_cursor(cursors: str | None) -> str | None:
    """Return the last of the cursors in a page's URL parameter `cursor`: the cursor of the page itself.

    Returns None for the newest page, which has no cursor.
    """
    return (cursors or "").rpartition(".")[2] or None


def build_pager(cursors: str | None, next_cursor: str | None) -> Pager:
    """Return the links from a page to other pages.

    `cursors` is the value of the page's URL parameter `cursor`. `next_cursor` is the cursor of the next older
    page, or None.
    """
    trail = [cursor for cursor in (cursors or "").split(".") if cursor]
    older = ".".join([*trail, next_cursor][-MAX_CURSORS:]) if next_cursor else None
    return Pager(
        newest="" if len(trail) > 1 else None, newer=".".join(trail[:-1]) if trail else None, older=older
    )


def page_url(path: str, params: Mapping[str, Any], cursor: str | None = None, zone: str = "") -> str:
    """Return the URL of a page: the path, the parameters that have a value, and `cursor`.

    If the parameters contain `since`, `until` or `received`, the URL also contains `zone`, which is their
    time zone.
    """
    dated = params.get("since") or params.get("until") or params.get("received")
    shown = {**params, "zone": zone if dated else "", "cursor": cursor}
    used = {name: value for name, value in shown.items() if value}
    return f"{path}?{urlencode(used, doseq=True)}" if used else path
