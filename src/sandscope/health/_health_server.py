"""Serves the health of the program as JSON, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sandscope._errors import SandscopeError

Answer = Callable[[str], "tuple[int, dict[str, Any]] | None"]


class Server:
    """An HTTP server on 127.0.0.1.

    Attributes:
        url: its address.
    """

    def __init__(self, port: int, answer: Answer) -> None:
        """Listen, and answer GET requests on daemon threads.

        Args:
            port: the port; 0 takes a free one.
            answer: returns status code and body for a path, or None for 404.
        """
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        try:
            self._server = _Listener(("127.0.0.1", port), handler)
        except OSError as error:
            raise SandscopeError(
                f"Cannot serve health on port {port}: {error}. Choose another port, or 0 for a free one."
            ) from error
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="sandscope-health-server", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def close(self) -> None:
        """Close the socket that a forked child has inherited; the parent continues."""
        self._server.socket.close()


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a client that has gone: the output is the program's."""


class _Handler(BaseHTTPRequestHandler):
    answer: Answer
    timeout = 5  # for a client that sends nothing

    def do_GET(self) -> None:
        """Answer one request."""
        code, content = self.answer(self.path.partition("?")[0]) or (404, {"error": "not found"})
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 -- as http.server names it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as declared there
        """Print nothing: the output is the program's."""
