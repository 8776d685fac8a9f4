"""The verify call of a captcha's provider, on a real HTTP server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass
class CaptchaProvider:
    """Answers each request with `verdict`. Without a verdict it does not answer."""

    verdict: Any
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def captcha_provider(verdict: Any) -> Iterator[CaptchaProvider]:
    """Run the server while the context lasts."""
    provider, ended = CaptchaProvider(verdict), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            provider.requests.append(dict(parse_qsl(body)))
            if provider.verdict is None:
                ended.wait(10)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(provider.verdict).encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield provider
        finally:
            ended.set()
            server.shutdown()
            thread.join()
