"""``sandscope report`` and ``sandscope query`` on what ``sandscope run`` has recorded."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness import (
    BIN,
    PATIENCE,
    SANDSCOPE_RUN,
    clean_environment,
    collector_ports,
    requires_otelcol,
    run_program,
)
from harness._local_store import START, Store, attributes, request, span
from sandscope._cli import _local_store
from sandscope._cli._short_report import ShortReport
from sandscope._cli.main import main

PROGRAM = """
import subprocess, sandscope
with sandscope.execution("sandbox", "job"):
    subprocess.run(["sh", "-c", "exit 3"])
    subprocess.run(["true"])
"""
HOSTILE = "<script>alert('1')</script>|`x`\x1b[31m"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder of a run."""
    requires_otelcol()
    data = tmp_path_factory.mktemp("recorded") / "data"
    environment = clean_environment(SANDSCOPE_DATA=str(data), **collector_ports().environment)
    run = run_program(PROGRAM, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    assert "3 executions (2 subprocess, 1 sandbox): 1 did not succeed (1 RE re_nonzero_exit)" in run.stderr
    return data


def _sandscope(*words: str, data: Path) -> str:
    command = [str(BIN / "sandscope"), *words, "--data", str(data)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def _failing(said: str) -> str:
    """Return the trace of the last failure that a report shows."""
    match = re.search(r"runtime error, ended by itself: re_nonzero_exit .* ([0-9a-f]{32})", said)
    assert match is not None
    return match[1]


def test_in_the_terminal(recorded: Path) -> None:
    said = _sandscope("report", data=recorded)
    lines = said.splitlines()
    assert re.match(r"3 executions between .* UTC: 2 succeeded \(66.7 %\), 1 did not", lines[0])
    assert re.search(r"subprocess +runtime error \(RE\) +by itself +re_nonzero_exit +1\n", said)
    assert re.search(r"subprocess +sh +1 +1 +\d", said)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in said


def test_one_trace_as_a_tree(recorded: Path) -> None:
    trace = _failing(_sandscope("report", data=recorded))
    lines = _sandscope("report", "--trace", trace[:12], data=recorded).splitlines()
    assert [re.match(r" *\S+ ?\S*", line)[0].rstrip() for line in lines] == ["sandbox job", "  sh", "  true"]  # type: ignore[index]
    assert "runtime error, ended by itself: re_nonzero_exit" in lines[1]
    spans = json.loads(_sandscope("report", "--trace", trace, "--format", "json", data=recorded))
    assert [(span["depth"], span["name"]) for span in spans] == [(0, "sandbox job"), (1, "sh"), (1, "true")]


def test_as_json(recorded: Path) -> None:
    told = json.loads(_sandscope("report", "--format", "json", "--top", "1", data=recorded))
    assert (told["executions"], told["succeeded"]) == (3, 2)
    assert [(row["name"], row["failed"]) for row in told["functions"]] == [("sh", 1)]
    assert [(row["status"], row["exit_code"]) for row in told["failures"]] == [("RE", 3)]


def test_since(recorded: Path, tmp_path: Path) -> None:
    assert (
        json.loads(_sandscope("report", "--format", "json", "--since", "1d", data=recorded))["executions"]
        == 3
    )
    data = Store(tmp_path)
    data.add(request(span(1)))  # long ago
    assert (
        json.loads(_sandscope("report", "--format", "json", "--since", "1d", data=tmp_path))["executions"]
        == 0
    )
    assert json.loads(_sandscope("report", "--format", "json", data=tmp_path))["executions"] == 1


def test_until(recorded: Path, tmp_path: Path) -> None:
    assert (
        json.loads(_sandscope("report", "--format", "json", "--until", "1d", data=recorded))["executions"]
        == 0
    )
    data = Store(tmp_path)
    data.add(request(span(1)))  # long ago
    assert (
        json.loads(_sandscope("report", "--format", "json", "--until", "1d", data=tmp_path))["executions"]
        == 1
    )


def test_two_ranges_of_time(tmp_path: Path) -> None:
    data = Store(tmp_path)
    now = time.time_ns() - 10**9
    slow = {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 5_000_000), "name": "f"}
    data.add(request(*(span(number, name="f") for number in range(40))))
    data.add(request(*(span(number, **slow) for number in range(40, 80))))
    (told,) = json.loads(_sandscope("report", "--compare", "1h", "--format", "json", data=tmp_path))
    assert (told["name"], told["slower"], told["failing"]) == ("f", 1, 0)
    assert (told["before"]["executions"], told["after"]["executions"]) == (40, 40)
    assert re.search(
        r"wasmtime +f +40 +0 .* 40 +0 .* slower", _sandscope("report", "--compare", "1h", data=tmp_path)
    )


class _Page(HTMLParser):
    """The elements and the text of a page, which must end what they begin."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_as_a_page(recorded: Path) -> None:
    page = _Page(_sandscope("report", "--format", "html", data=recorded))
    names = [tag for tag, _ in page.tags]
    assert {"svg", "table"} <= set(names)
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not any("src" in values or "href" in values for _, values in page.tags)
    assert "3 executions between" in page.text
    assert len([values for tag, values in page.tags if tag == "rect" and values["class"] == "failed"]) >= 1


def test_names_that_are_markup_are_text_everywhere(tmp_path: Path) -> None:
    Store(tmp_path).add(request(span(1, name=HOSTILE)))
    page = _Page(_sandscope("report", "--format", "html", data=tmp_path))
    assert HOSTILE in page.text
    assert "script" not in [tag for tag, _ in page.tags]
    assert r"\<script\>alert('1')\</script\>\|\`x\`" in _sandscope("report", "--format", "md", data=tmp_path)
    said = _sandscope("report", data=tmp_path)
    assert "<script>alert('1')</script>|`x`\\x1b[31m" in said
    assert "\x1b" not in said + _sandscope("query", "SELECT name FROM spans", data=tmp_path)


@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_nothing_recorded(tmp_path: Path, form: str) -> None:
    said = _sandscope("report", "--format", form, data=tmp_path)
    if form == "json":
        assert json.loads(said)["executions"] == 0
    else:
        assert "Record some with: sandscope run -- python app.py" in said


def test_a_trace_whose_parents_are_missing_or_go_in_a_circle(tmp_path: Path) -> None:
    trace = {"traceId": "ab" * 16}
    itself = {**trace, "spanId": "0" * 15 + "1", "parentSpanId": "0" * 15 + "1"}
    lost = {**trace, "spanId": "0" * 15 + "2", "parentSpanId": "f" * 16}
    other = {**trace, "spanId": "0" * 15 + "3", "parentSpanId": "0" * 15 + "2"}
    Store(tmp_path).add(request(span(1, **itself), span(2, **lost), span(3, **other)))
    spans = json.loads(_sandscope("report", "--trace", "abab", "--format", "json", data=tmp_path))
    assert [(each["depth"], each["name"]) for each in spans] == [(0, "run 1"), (0, "run 2"), (1, "run 3")]


def test_a_query(recorded: Path) -> None:
    sql = "SELECT name, status, exit_code FROM executions WHERE runtime = 'subprocess' ORDER BY name"
    assert list(csv.reader(_sandscope("query", sql, "--format", "csv", data=recorded).splitlines())) == [
        ["name", "status", "exit_code"],
        ["sh", "RE", "3"],
        ["true", "OK", "0"],
    ]
    assert json.loads(_sandscope("query", sql, "--format", "json", data=recorded))[0]["exit_code"] == 3
    assert re.search(r"sh +RE +3\n", _sandscope("query", sql, data=recorded))
    assert "executions" in _sandscope("query", "SHOW TABLES", data=recorded)
    counted = "SELECT sum(value) AS n FROM metrics WHERE name = 'sandbox.executions'"
    assert json.loads(_sandscope("query", counted, "--format", "json", data=recorded)) == [{"n": 3.0}]
    assert json.loads(
        _sandscope("query", "SELECT count(*) n FROM logs", "--format", "json", data=recorded)
    ) == [{"n": 3}]


def test_a_reader_that_stops_reading(recorded: Path) -> None:
    sql = "SELECT repeat('x', 1000) FROM range(10000)"
    command = [str(BIN / "sandscope"), "query", sql, "--format", "csv", "--data", str(recorded)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == -13


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "--data", "nowhere"], "there is no such folder. Record something with: sandscope run"),
        (["report", "--since", "soon"], "Cannot use --since 'soon'"),
        (["report", "--compare", "soon"], "Cannot use --compare 'soon'"),
        (["report", "--compare", "1h", "--format", "md"], "Cannot combine these options"),
        (["report", "--compare", "2h", "--since", "1h"], "Give a longer --since"),
        (["report", "--since", "1h", "--until", "2h"], "give a longer --since"),
        (["report", "--compare", "1h", "--until", "2h"], "use --compare without --trace and --until"),
        (["report", "--until", "1"], "Cannot use --until '1'"),
        (["report", "--top", "0"], "Cannot show --top 0"),
        (["report", "--trace", "ff"], "Cannot find the trace 'ff'"),
        (["report", "--trace", "0000"], "Cannot tell which trace '0000' is: "),
        (["report", "--trace", "ff", "--format", "html"], "Cannot show a trace as html"),
        (["query", "SELECT x FROM executions"], "Cannot run the query: "),
    ],
)
def test_what_cannot_be_done(
    tmp_path: Path,
    words: list[str],
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SANDSCOPE_DATA", str(tmp_path))
    Store(tmp_path).add(request(span(1), span(2, startTimeUnixNano=str(START), attributes=attributes(a="b"))))
    assert main(words) == 2
    assert said in capfd.readouterr().err


def test_without_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_local_store, "find_spec", lambda name: None)
    assert main(["report", "--data", str(tmp_path)]) == 2
    assert (
        "duckdb, nanoarrow, orjson, rich is not installed. Install it with: pip install 'sandscope[view]'"
        in (capfd.readouterr().err)
    )


def _counted(value: int) -> str:
    names = {"runtime": "sandbox", "verdict__status": "OK", "verdict__cause": "normal_exit"}
    given = attributes(**{f"sandbox__{name}": text for name, text in names.items()})
    total = {"aggregationTemporality": 2, "dataPoints": [{"attributes": given, "asInt": str(value)}]}
    scopes = [{"metrics": [{"name": "sandbox.executions", "sum": total}]}]
    return json.dumps({"resourceMetrics": [{"scopeMetrics": scopes}]}) + "\n"


def test_the_line_at_the_end_counts_this_run_and_says_nothing_if_it_cannot(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text(_counted(99))
    report = ShortReport(tmp_path)
    assert report.line() is None
    with file.open("a") as more:
        more.write(_counted(2) + _counted(5) + '{"resourceMet')
    assert (report.line() or "").startswith("5 executions (5 sandbox): all succeeded")
    file.rename(tmp_path / "metrics-2026-11-28T03-30-12.123.jsonl")
    file.write_text(_counted(6))
    assert report.line() is None
