"""Grafana's dashboards are what is generated, and ask only for what is declared."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from harness._dashboards import BOARDS, FOLDER, PANELS, QUERIES
from harness._promql import labels_of, metrics_of
from harness._rules import declared_labels, declared_series

if sys.version_info >= (3, 11):  # as the SDK requires

    def test_the_files_are_what_is_generated() -> None:
        code = "import json, dashboards; print(json.dumps(dashboards.generate()))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        files = {file.name: file.read_text() for file in (FOLDER / "dashboards").glob("*.json")}
        assert json.loads(done.stdout) == files, "run `make docs`"


def test_there_is_one_for_each_concern() -> None:
    runtimes = {"wasm", "subprocess", "torch", "browser"}
    assert set(BOARDS) == {"overview", "builds", "security", "slo", "telemetry"} | runtimes


@pytest.mark.parametrize("name", BOARDS)
def test_uids_ids_and_titles_are_used_once(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"sandscope-{name}"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in PANELS[name]]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_a_unit_a_place_and_the_data_source_that_is_provisioned(name: str) -> None:
    sources = yaml.safe_load((FOLDER / "datasources.yaml").read_text())["datasources"]
    for panel in PANELS[name]:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] in {source["uid"] for source in sources}
        assert panel["targets"]


@pytest.mark.parametrize("query", QUERIES, ids=" / ".join)
def test_a_query_uses_declared_metrics_and_labels(query: tuple[str, str, str]) -> None:
    expression = QUERIES[query]
    assert metrics_of(expression) <= declared_series()
    assert labels_of(expression) <= declared_labels()
    legend = {part.split("}}")[0] for part in query[2].split("{{")[1:]}
    assert legend <= declared_labels()


def test_exemplars_are_asked_for_with_histograms() -> None:
    targets = [target for panels in PANELS.values() for panel in panels for target in panel["targets"]]
    of_histograms = [target for target in targets if "_bucket{" in target["expr"]]
    assert of_histograms
    assert all(target["exemplar"] for target in of_histograms)
