"""Every metric name and every expression of four documents answers on a real Prometheus."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.read_back import prometheus_query

from harness import (
    ROOT,
    clean_environment,
    collector_ports,
    free_ports,
    lacking,
    run_program,
    wait_until,
)
from harness._builds import tell_of_a_build
from harness._dashboards import PANELS
from harness._documents import ROWS, Row, documents
from harness._requires import requires_otelcol
from harness._stores import hurried_configuration, requires_stores, running
from sandscope._collector import CollectorProcess, Composition

pytestmark = [pytest.mark.stores, pytest.mark.slow]
OVERLAYS = sorted({row.overlay for row in ROWS})
PROGRAMS = ROOT / "tests" / "collector" / "programs"
WASM = {f"SANDSCOPE_WASMTIME_{name}": "true" for name in ("FUEL", "CPU", "PROBE")}
WASM["SANDSCOPE_METRIC_ATTRIBUTES"] = "wasm.function"
CHILDREN = {
    "SANDSCOPE_SUBPROCESS_CONTROLS": "namespace,no_new_privs",
    "SANDSCOPE_SUBPROCESS_ABUSE_PROCESSES": "4",
}
LEFT = "import subprocess; child = subprocess.Popen(['sleep', '5'])"
# The overlay looks at runtime and operation only, so torch itself is not needed.
MODELS = """if True:
    from opentelemetry import metrics
    import sandscope
    usage = metrics.get_meter("test").create_up_down_counter("torch.memory.usage", "By")
    usage.add(1, {"torch.memory.device": "cpu", "torch.memory.kind": "resident"})
    for operation in ("load", "inference", "inference"):
        with sandscope.execution("torch", operation) as running:
            running.set_attributes({"torch.module": "Reader"})
    sandscope.security_event("auth_failure")
"""
HEALTH = """if True:
    import time
    from sandscope import health
    @health.check("database", failures=1)
    def database():
        return health.unhealthy("it does not answer")
    monitor = health.start(health.cpu(), health.memory(), health.disk(), interval=0.1)
    while "unknown" in {check["latest"] for check in monitor.report()["checks"].values()}:
        time.sleep(0.01)
    time.sleep(0.3)
"""
SHOW_NOTHING = {
    *(("browser", panel["title"]) for panel in PANELS["browser"]),  # it needs a browser
    *(("slo", title) for title in ("Slow", "Unsteady", "Failing")),  # they compare with the day before
    *(("torch", title) for title in ("GPU memory", "GPU use")),
    ("security", "Telemetry of guests that was refused"),
    ("telemetry", "Rejected by stores for good"),
    ("telemetry", "Queues"),  # overlay `prometheus` has none
    ("telemetry", "Queues on disk"),
    ("telemetry", "Found no place in a queue"),
    ("telemetry", "On disk until the Collector is back"),
    ("telemetry", "Errors of Sandscope"),
}
"""Panels that are empty if nothing is wrong, or for a reason that is said here."""
_NAMES = re.compile(r"\w+(\{\w+\})?(, \w+)*")
METRICS = [
    row for row in ROWS if row.section == "Metrics" and "by" in row.content and _NAMES.fullmatch(row.name)
]
EXPRESSIONS = {asked: row.content for row in ROWS for asked in documents.listed(row.content.get("asks"))}
WRONG = {asked: content["why"] for asked, content in EXPRESSIONS.items() if "instead" in content}
_THRESHOLD = re.compile(r"^(.*) (?:>|<|==) [\d.]+$")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run programs in front of a Collector with all four overlays; return the address of Prometheus."""
    requires_stores("prometheus")
    folder = tmp_path_factory.mktemp("documents")
    scraped = free_ports(["collector"])["collector"]
    collector = CollectorProcess(
        Composition.of("prometheus", "own-metrics", *OVERLAYS),
        data=folder / "data",
        ports=collector_ports(prometheus=scraped),
        otelcol=requires_otelcol(),
    )
    hurried = hurried_configuration(folder / "configuration")
    address = f"127.0.0.1:{scraped}"
    with running(folder / "stores", "prometheus", scrape=address, configuration=hurried) as stores, collector:
        programs: list[tuple[Path | str, tuple[str, ...], dict[str, str]]] = [
            (PROGRAMS / "wasm.py", (str(folder),), WASM),
            (PROGRAMS / "children.py", (), CHILDREN),
            (PROGRAMS / "confined.py", (), {}),
            (LEFT, (), {}),
            (MODELS, (), {"SANDSCOPE_METRIC_ATTRIBUTES": "torch.module"}),
            (HEALTH, (), {"SANDSCOPE_SYSTEM_METRICS": "true"}),
            (ROOT / "examples" / "own_metrics" / "app.py", (), {}),
        ]
        for program, arguments, settings in programs:
            variables = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **settings)
            done = run_program(program, *arguments, environment=variables, timeout=600)
            assert done.returncode == 0, done.stderr
        tell_of_a_build(folder, collector.endpoint)
        yield stores["prometheus"].url


def answers(url: str, expression: str) -> bool:
    """Return whether an expression has values that are numbers, now or soon."""
    return wait_until(
        lambda: any(not math.isnan(sample.value) for sample in prometheus_query(url, expression))
    )


@pytest.mark.parametrize("row", METRICS, ids=lambda row: f"{row.overlay}: {row.name}")
def test_a_metric_of_a_document_has_its_name_and_its_label(prometheus: str, row: Row) -> None:
    for each in row.name.split(", "):
        name, label = re.fullmatch(r"(\w+)(?:\{(\w+)\})?", each).groups()  # type: ignore[union-attr]
        if name == "rustbox_backend_cgroup" and not prometheus_query(prometheus, name):
            lacking("no cgroup can be made here: run as root, or delegate one")
        matcher = f', {label}!=""' if label else ""
        assert answers(prometheus, f'{{__name__=~"{name}(_seconds)?(_count)?"{matcher}}}')


@pytest.mark.parametrize("asked", EXPRESSIONS)
def test_an_expression_of_a_document_answers(prometheus: str, asked: str) -> None:
    answer = EXPRESSIONS[asked].get("instead", asked)
    prometheus_query(prometheus, answer)
    threshold = _THRESHOLD.match(answer)  # where the alert is silent, its left side answers
    assert answers(prometheus, threshold[1] if threshold else answer)


@pytest.mark.parametrize(
    ("board", "title"), [(name, panel["title"]) for name, panels in PANELS.items() for panel in panels]
)
def test_a_panel_shows_something(prometheus: str, board: str, title: str) -> None:
    (panel,) = [each for each in PANELS[board] if each["title"] == title]
    queries = [target["expr"].replace("$job", ".*") for target in panel["targets"]]

    def shown() -> bool:
        answers = [prometheus_query(prometheus, query) for query in queries]
        return any(answers)

    assert shown() or (board, title) in SHOW_NOTHING or wait_until(shown)


@pytest.mark.parametrize("asked", WRONG)
def test_an_expression_that_is_replaced_is_wrong_as_written(prometheus: str, asked: str) -> None:
    assert answers(prometheus, EXPRESSIONS[asked]["instead"].partition(" > ")[0])
    found = {sample.value for sample in prometheus_query(prometheus, asked)}
    assert found == ({100.0} if "always 100" in WRONG[asked] else set())


def test_success_is_by_function_and_not_always_100(prometheus: str) -> None:
    success = "rate(wasm_executions_successful_total[5m]) / rate(wasm_executions_total[5m]) * 100"
    assert answers(prometheus, success)
    found = {
        s.labels["function"]: s.value for s in prometheus_query(prometheus, success) if "function" in s.labels
    }
    assert found["files"] == 100
    assert 0 < found["run"] < 100


def test_functions_are_a_label_of_the_guides_metrics(prometheus: str) -> None:
    for name in (
        "wasm_executions_total",
        "wasm_execution_duration_seconds_count",
        "wasm_resource_limit_exceeded_total",
    ):
        assert answers(prometheus, f'{name}{{function!=""}}')
