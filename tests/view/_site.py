"""The page of a store, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from starlette.testclient import TestClient

from harness._local_store import Store
from sandscope._view._app import application
from sandscope._view._live import Live

TOKEN, PORT = "the-token", 8000


class Page(HTMLParser):
    """What a browser would see.

    Attributes:
        status: of the answer.
        tags: the elements, with their attributes.
        text: all of it, without markup.
    """

    def __init__(self, status: int, html: str) -> None:
        super().__init__()
        self.status = status
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data.strip()}" if data.strip() else ""

    def links(self, beginning: str) -> list[str]:
        """Return the addresses of links that begin so."""
        return [
            values["href"] for tag, values in self.tags if tag == "a" and values["href"].startswith(beginning)
        ]

    def rows(self) -> int:
        """Return the number of rows that can be opened."""
        return sum("row" in (values.get("class") or "").split() for _, values in self.tags)


class Site:
    """The page of a store; what was added is read before each question."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.live = Live(store.data)
        self.client = TestClient(
            application(self.live, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False
        )

    def get(self, path: str) -> Page:
        """Return a page."""
        self._store.query("SELECT 1")
        answer = self.client.get(path, headers={"Cookie": f"sandscope-{PORT}={TOKEN}"})
        return Page(answer.status_code, answer.text)
