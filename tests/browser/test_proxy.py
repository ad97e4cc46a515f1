"""The example's nginx in front of the receiver for browsers: TLS, a limit for each client, no credentials."""

from __future__ import annotations

import http.client
import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response

from browser._received import Received
from browser._site import Site
from browser.conftest import Collect
from harness import PATIENCE, ROOT, free_ports, lacking, wait_until
from harness._servers import serving
from sandscope._collector import _certificates

pytestmark = [pytest.mark.collector, pytest.mark.xdist_group("browser")]
EXAMPLE = ROOT / "examples" / "browser" / "nginx.conf"


class Proxy:
    """A running nginx."""

    def __init__(self, port: int, authority: Path) -> None:
        self.port, self._trust = port, ssl.create_default_context(cafile=str(authority))

    @contextmanager
    def connected(self, client: str = "127.0.0.1") -> Iterator[http.client.HTTPSConnection]:
        """Connect from an address of this machine."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE, context=self._trust, source_address=(client, 0)
        )
        try:
            yield connection
        finally:
            connection.close()


def _post(connection: http.client.HTTPSConnection, path: str, body: bytes = b"{}", **headers: str) -> int:
    """Send a request, and return the status of the answer."""
    connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@contextmanager
def nginx(folder: Path, to: int) -> Iterator[Proxy]:
    """Run nginx with the example's file, and the names of this machine in it."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if binary is None:
        lacking("nginx is missing. On Debian: `apt install nginx`.")
    port = free_ports(["proxy"])["proxy"]
    certificates = folder / "certificates"
    _certificates.make(certificates)
    server = EXAMPLE.read_text()
    for example, here in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("telemetry.example.com", "localhost"),
        ("/etc/nginx/telemetry.pem", f"{certificates}/server.pem"),
        ("/etc/nginx/telemetry-key.pem", f"{certificates}/server-key.pem"),
        ("127.0.0.1:4319", f"127.0.0.1:{to}"),
    ):
        assert example in server
        server = server.replace(example, here)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
        f"events {{}}\nhttp {{ {paths}\n{server} }}\n"
    )
    command = [binary, "-e", f"{folder}/nginx.log", "-p", str(folder), "-c", str(configuration)]
    with serving(command, port):
        yield Proxy(port, certificates / "ca.pem")


def test_a_page_sends_through_it(chromium: Browser, site: Site, collect: Collect, tmp_path: Path) -> None:
    collector = collect(tmp_path / "data")
    answers: list[Response] = []
    with nginx(tmp_path, collector.ports.browser) as proxy:
        site.add("/behind", f'data-endpoint="https://localhost:{proxy.port}" data-page="behind"')
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.on("response", lambda answer: answers.append(answer) if "/v1/" in answer.url else None)
        page.goto(f"{site.origin}/behind")
        received = Received(tmp_path / "data")
        assert wait_until(lambda: received.spans("page load") != [])
        assert wait_until(lambda: received.logs("browser.web_vital") != [] or page.wait_for_timeout(100))
        context.close()
    assert {answer.status for answer in answers} == {200}
    assert all("access-control-allow-credentials" not in answer.headers for answer in answers)
    assert all(answer.headers["access-control-allow-origin"] == site.origin for answer in answers)


def test_a_client_that_sends_too_much_is_refused_and_others_are_not(collect: Collect, tmp_path: Path) -> None:
    collector = collect(tmp_path / "data")
    with nginx(tmp_path, collector.ports.browser) as proxy:
        with proxy.connected() as busy:
            statuses = [_post(busy, "/v1/traces") for _ in range(200)]
        assert set(statuses) == {200, 429}
        assert set(statuses[:50]) == {200}
        with proxy.connected("127.0.0.2") as another:
            assert _post(another, "/v1/traces") == 200
            assert _post(another, "/elsewhere") == 404
            assert _post(another, "/v1/traces", b"x" * 300_000) == 413


def test_credentials_do_not_reach_the_collector(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with nginx(tmp_path, server.server_address[1]) as proxy, proxy.connected() as connection:
            status = _post(connection, "/v1/logs", Cookie="session=secret", Authorization="Bearer secret")
        assert status == 200
        server.shutdown()
    assert len(seen) == 1
    assert "secret" not in str(seen)
