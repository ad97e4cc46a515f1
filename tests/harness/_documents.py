"""The table of what four documents ask for."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

from harness._contract import ROOT

_spec = importlib.util.spec_from_file_location("documents", ROOT / "docs" / "documents.py")
assert _spec is not None
assert _spec.loader is not None
documents = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(documents)


class Row(NamedTuple):
    """A row: the overlay of its document, its section, and what stands there."""

    overlay: str
    section: str
    name: str
    content: dict[str, Any]

    @property
    def answers(self) -> list[tuple[str, str]]:
        """Each answer as kind and name."""
        return [
            (kind, name)
            for kind, _, name in (a.partition(" ") for a in documents.listed(self.content.get("by")))
        ]


TABLE = documents.read()
ROWS = [
    Row(document["overlay"], title, name, content)
    for document in TABLE["documents"]
    for title, section in document["sections"].items()
    for name, content in section["rows"].items()
]
