"""Corrects two faults of uvicorn's HTTP/1.1 protocol on httptools (uvicorn 0.54, httptools 0.9).

1. A request that offers an upgrade, such as `Upgrade: h2c`, loses its body, which is then parsed as the next
   request. Issues, both open: https://github.com/Kludex/uvicorn/issues/2722 and
   https://github.com/MagicStack/httptools/issues/124. Remove `resume_without_upgrade` and its callers as
   soon as `test_regression_an_upgrade_offer_is_ignored_and_the_body_kept` passes without them.
2. The trailer fields of a chunked body are appended to the request's headers. No issue is reported. Remove
   the check in `on_header` as soon as `test_trailers_are_dropped_and_limited` passes without it.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UPGRADE_HEADERS: Final = (b"connection", b"upgrade")


class CorrectedHttpProtocol(HttpToolsProtocol):
    """Corrects uvicorn's protocol: drops trailer fields.

    A subclass can call `resume_without_upgrade` to ignore a client's offer to upgrade the protocol.
    """

    _in_head = False
    # True while the parser reads a head again without its offer to upgrade.
    _resuming = False

    def resume_without_upgrade(self) -> None:
        """Parse the current request as if it offered no upgrade, so that its body is read.

        A server may ignore the offer (RFC 9110, 7.8), but httptools ends such a request after its head. So
        this method gives a new parser the same head without the offer.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = [f"{self.scope['method']} / HTTP/{self.scope['http_version']}".encode()]
        head += [name + b": " + value for name, value in self.headers if name not in _UPGRADE_HEADERS]
        if not self.cycle.keep_alive:
            head.append(b"connection: close")
        self._resuming = True
        self.parser.feed_data(b"\r\n".join([*head, b"\r\n"]))

    def on_message_begin(self) -> None:
        """Begin a request. Do nothing if `resume_without_upgrade` parses the head again."""
        if not self._resuming:
            self._in_head = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Append a part of the request target, unless `resume_without_upgrade` parses the head again."""
        if not self._resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Drop a trailer field: proxies check only the head, so a trailer can fake a header."""
        if self._in_head:
            # The base class's lines: calling it for each header would take about 1 % of a lead's time.
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """End the head and call `on_head`.

        If `resume_without_upgrade` has parsed the head again, `on_head` is not called a second time.
        """
        if self._resuming:
            self._resuming = False
        else:
            self._in_head = False
            self.on_head()

    def on_head(self) -> None:
        """Start the app. A subclass may reject the request instead by raising `ValueError`."""
        super().on_headers_complete()
