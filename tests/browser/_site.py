"""A site whose page runs a WebAssembly guest, for a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from harness import ROOT, lacking

PACKAGE = ROOT / "instrumentations" / "browser"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>{head}
<script src="/sandscope.js" {settings}></script></head>
<body><h1>A page with a guest</h1><button id="run">Run</button><p id="said"></p>
<script>
const said = text => document.getElementById("said").textContent = text;
const imports = {{env: {{callback: value => value * 2}}}};
const failing = run => {{ try {{ run(); }} catch (error) {{ return error.constructor.name; }} }};
document.getElementById("run").onclick = () => said(String(window.guest?.add(1, 2)));
</script></body></html>
"""


def bundle() -> Path:
    """Return the script of the package."""
    script = PACKAGE / "dist" / "sandscope.js"
    if not script.is_file():
        lacking("The package for browsers is not built: `make browser`.")
    return script


class Site(ThreadingHTTPServer):
    """Serves `/`, the guests and the script of the package, on loopback.

    Attributes:
        pages: the pages by path: HTML and further headers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.script = bundle().read_bytes()  # before a socket is open: the test is skipped without it
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, path: str, settings: str, *, head: str = "", **headers: str) -> None:
        """Add a page.

        Args:
            path: its path.
            settings: the `data-` attributes of the script's tag.
            head: further elements of its head.
            headers: of its answer, with `_` for `-`.
        """
        html = HTML.format(title=path, head=head, settings=settings)
        self.pages[path] = (html, {name.replace("_", "-"): value for name, value in headers.items()})


class _Handler(BaseHTTPRequestHandler):
    server: Site
    types: ClassVar = {".wasm": "application/wasm", ".js": "text/javascript"}

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        headers: dict[str, str] = {}
        if path == "/sandscope.js":
            body = self.server.script
        elif path in self.server.pages:
            html, headers = self.server.pages[path]
            body = html.encode()
        elif path.endswith(".wasm"):
            body = (PACKAGE / "tests" / Path(path).name).read_bytes()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", self.types.get(Path(path).suffix, "text/html"))
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """Serve until the block ends."""
    site = Site()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()
