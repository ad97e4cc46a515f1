"""Local servers that receive notifications: HTTP for webhooks, Slack and PagerDuty, and SMTP for email."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Inbox:
    """What has been received.

    Attributes:
        posts: path, authorization and JSON body of every request over HTTP.
        mails: every message.
        logins: user and password of every connection over SMTP.
        http_port: where the HTTP server listens, on loopback.
        smtp_port: where the SMTP server listens.
    """

    posts: list[tuple[str, str, Any]] = field(default_factory=list)
    mails: list[Message] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    http_port: int = 0
    smtp_port: int = 0

    def at(self, path: str) -> list[Any]:
        """Return the bodies that were posted to a path."""
        return [body for where, _, body in self.posts if where == path]


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    """Run both servers on free ports for the duration of a ``with`` block."""
    inbox = Inbox()
    web = type("Web", (_Web,), {"inbox": inbox})
    mail = type("Mail", (_Mail,), {"inbox": inbox})
    with ExitStack() as running:
        for server in (
            running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), web)),
            running.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), mail)),
        ):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            running.callback(server.shutdown)
            name = "http_port" if isinstance(server, ThreadingHTTPServer) else "smtp_port"
            setattr(inbox, name, server.server_address[1])
        yield inbox


class _Web(BaseHTTPRequestHandler):
    inbox: Inbox

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.inbox.posts.append((self.path, self.headers.get("Authorization", ""), body))
        # What PagerDuty answers; the others only look at the status.
        self.send_response(202 if "pagerduty" in self.path else 200)
        self.end_headers()
        self.wfile.write(b'{"status": "success"}' if "pagerduty" in self.path else b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as declared there
        pass


class _Mail(socketserver.StreamRequestHandler):
    inbox: Inbox

    def handle(self) -> None:
        self._say("220 inbox")
        for line in self.rfile:
            command, _, rest = line.decode().strip().partition(" ")
            if command == "EHLO":
                self._say("250-inbox\r\n250 AUTH PLAIN")
            elif command == "AUTH":
                _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                self.inbox.logins.append((user, password))
                self._say("235 welcome")
            elif command == "DATA":
                self._say("354 go on")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                self.inbox.mails.append(message_from_string("".join(lines)))
                self._say("250 taken")
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 yes")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
