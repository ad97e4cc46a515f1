"""The panels of Grafana's dashboards."""

from __future__ import annotations

import json
from typing import Any

from harness._stores import CONFIGURATION

FOLDER = CONFIGURATION / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted((FOLDER / "dashboards").glob("*.json"))
}
PANELS: dict[str, list[dict[str, Any]]] = {
    name: [panel for panel in board["panels"] if panel["type"] != "row"] for name, board in BOARDS.items()
}
QUERIES = {
    (name, panel["title"], target["legendFormat"]): target["expr"]
    for name, panels in PANELS.items()
    for panel in panels
    for target in panel["targets"]
}
"""By dashboard, panel and legend."""
