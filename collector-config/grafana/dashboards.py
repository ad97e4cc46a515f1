"""Generate ``dashboards/*.json`` for Grafana: ``make docs``. The panels are in `panels.py`."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh
from panels import DASHBOARDS, Panel

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")


def generate() -> dict[str, str]:
    """Return the JSON of each dashboard, by the name of its file."""
    return {f"{uid}.json": _json(uid, title, rows) for uid, (title, rows) in DASHBOARDS.items()}


def _json(uid: str, title: str, rows: dict[str, list[Panel]]) -> str:
    board = (
        dashboard.Dashboard(title)
        .uid(f"sandscope-{uid}")
        .tags(["sandscope"])
        .refresh("30s")
        .time("now-1h", "now")
        .with_variable(_services())
    )
    ids = count(1)
    for name, panels in rows.items():
        board = board.with_row(dashboard.Row(name).id(next(ids)))
        for panel in panels:
            board = board.with_panel(_panel(panel, 24 // len(panels)).id(next(ids)))
    built = json.loads(JSONEncoder().encode(board.build()))
    return json.dumps(_without_nulls(built), sort_keys=True, indent=1) + "\n"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _services() -> dashboard.QueryVariable:
    everything = VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.QueryVariable("job")
        .label("service")
        .query("label_values({__name__=~'sandbox_executions_total|health_check_status'}, job)")
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _panel(panel: Panel, width: int) -> stat.Panel | timeseries.Panel:
    kind = stat.Panel() if panel.kind == "stat" else timeseries.Panel()
    built = kind.title(panel.title).unit(panel.unit).datasource(SOURCE).span(width).height(8)
    for number, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        # An exemplar leads to a trace.
        built = built.with_target(query.exemplar(True) if "_bucket{" in expression else query)
    return built


if __name__ == "__main__":
    for name, text in generate().items():
        (FOLDER / name).write_text(text)
