"""Attributes are copied from the parent span or baggage to spans and log records of executions, not to metrics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wasmtime
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from harness import Contract, Telemetry, wait_until
from sandscope import _guard, _settings
from sandscope.instrumentation import Recorder, Scope, Site
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

SITE = Site("docker", "run", "docker run")
TOOL = {"gen_ai.tool.name": "python", "gen_ai.tool.call.id": "call_1"}


@pytest.fixture
def recorder(telemetry: Telemetry) -> Iterator[Recorder]:
    """Return a recorder; afterwards, check that metrics have no such attributes and that telemetry had no errors."""
    outside = context.attach(Context())
    yield telemetry.recorder(Scope("scope", "1"))
    context.detach(outside)
    for metric in telemetry.metrics().values():
        for point in metric.data.data_points:
            assert not set(point.attributes or {}) & {*_settings.CARRIED, "tenant"}
    assert _guard.counts() == {}


def _run(recorder: Recorder, site: Site = SITE, inside: Callable[[], object] = lambda: None) -> Any:
    execution = recorder.begin(site)
    assert execution is not None
    inside()
    execution.finish()
    return execution


def _carried(telemetry: Telemetry, name: str = "docker run") -> dict[str, Any]:
    """Return the copied attributes of the only span of a name; its log record must have the same."""
    (span,) = telemetry.spans(name)
    wanted = {*_settings.CARRIED, "tenant"}
    (log,) = [log for log in telemetry.logs() if log.log_record.span_id == span.context.span_id]
    on_span, on_log = (
        {key: value for key, value in (attributes or {}).items() if key in wanted}
        for attributes in (span.attributes, log.log_record.attributes)
    )
    assert on_span == on_log
    return on_span


def _tool(telemetry: Telemetry, **attributes: Any) -> Any:
    tracer = telemetry.tracer_provider.get_tracer("agent")
    return tracer.start_as_current_span("execute_tool", attributes={**TOOL, "other": "x", **attributes})


def test_from_the_parent_span(telemetry: Telemetry, recorder: Recorder) -> None:
    with _tool(telemetry):
        _run(recorder)
    assert _carried(telemetry) == TOOL
    (span,) = telemetry.spans("docker run")
    assert "other" not in (span.attributes or {})


def test_carried_attributes_are_declared(telemetry: Telemetry, recorder: Recorder) -> None:
    tracer = telemetry.tracer_provider.get_tracer("agent")
    with tracer.start_as_current_span("execute_tool", attributes=dict.fromkeys(_settings.CARRIED, "x")):
        _run(recorder)
    assert Contract().violations(telemetry) == []


def test_none_without_a_parent_or_from_one_that_has_none(telemetry: Telemetry, recorder: Recorder) -> None:
    _run(recorder)
    with telemetry.tracer_provider.get_tracer("agent").start_as_current_span("outer"):
        _run(recorder, Site("docker", "run", "inside"))
    assert _carried(telemetry) == _carried(telemetry, "inside") == {}


def test_each_execution_has_those_of_its_own_parent(telemetry: Telemetry, recorder: Recorder) -> None:
    sites = [Site("docker", "run", f"run {number}") for number in range(3)]
    for number, site in enumerate(sites):
        with _tool(telemetry, **{"gen_ai.tool.call.id": f"call {number}"}):
            _run(recorder, site)
    calls = [_carried(telemetry, site.name)["gen_ai.tool.call.id"] for site in sites]
    assert calls == ["call 0", "call 1", "call 2"]


def test_an_attribute_that_the_parent_gets_later(telemetry: Telemetry, recorder: Recorder) -> None:
    with _tool(telemetry) as tool:
        _run(recorder, SITE, lambda: tool.set_attribute("session.id", "s"))
        assert _carried(telemetry) == {**TOOL, "session.id": "s"}
        telemetry.clear()
        tool.set_attribute("gen_ai.conversation.id", "c")
        _run(recorder)
        assert _carried(telemetry) == {**TOOL, "session.id": "s", "gen_ai.conversation.id": "c"}


def test_from_a_parent_that_has_ended(telemetry: Telemetry, recorder: Recorder) -> None:
    with _tool(telemetry):
        execution = recorder.begin(Site("docker", "run", "docker run", current=False))
        assert execution is not None
    execution.finish()
    assert _carried(telemetry) == TOOL


def test_from_baggage_unless_the_parent_has_it(telemetry: Telemetry, recorder: Recorder) -> None:
    inside = baggage.set_baggage("session.id", "of baggage")
    inside = baggage.set_baggage("gen_ai.tool.name", "of baggage", inside)
    inside = baggage.set_baggage("other", "x", inside)
    token = context.attach(inside)
    try:
        with _tool(telemetry):
            _run(recorder)
    finally:
        context.detach(token)
    assert _carried(telemetry) == {**TOOL, "session.id": "of baggage"}


def test_from_baggage_without_a_span(telemetry: Telemetry, recorder: Recorder) -> None:
    token = context.attach(baggage.set_baggage("session.id", "s", Context()))
    _run(recorder)
    context.detach(token)
    assert _carried(telemetry) == {"session.id": "s"}


def test_a_child_of_an_execution_has_its_carried_and_its_own_attributes(
    telemetry: Telemetry, recorder: Recorder
) -> None:
    sites = [
        Site("docker", "run", "outer"),
        Site("docker", "run", "middle", attributes={"session.id": "of the site"}),
        Site("docker", "run", "inner"),
    ]

    def middle() -> None:
        trace.get_current_span().set_attribute("gen_ai.conversation.id", "written")
        _run(recorder, sites[2])

    with _tool(telemetry):
        _run(recorder, sites[0], lambda: _run(recorder, sites[1], middle))
    assert _carried(telemetry, "outer") == TOOL
    of_middle = {**TOOL, "session.id": "of the site", "gen_ai.conversation.id": "written"}
    assert _carried(telemetry, "middle") == _carried(telemetry, "inner") == of_middle


def test_an_execution_keeps_its_own_values_and_passes_them_to_its_children(
    telemetry: Telemetry, recorder: Recorder
) -> None:
    with _tool(telemetry):
        outer = recorder.begin(SITE)
        assert outer is not None
        outer.set_attributes({"gen_ai.tool.name": "own"})
        _run(recorder, Site("docker", "run", "inner"))
        outer.finish()
    assert _carried(telemetry) == _carried(telemetry, "inner") == {**TOOL, "gen_ai.tool.name": "own"}


def test_through_many_nested_executions(telemetry: Telemetry, recorder: Recorder) -> None:
    depth = 200
    open_ones = []
    with _tool(telemetry):
        for _ in range(depth):
            execution = recorder.begin(SITE)
            assert execution is not None
            open_ones.append(execution)
        for execution in reversed(open_ones):
            execution.finish()
    spans = telemetry.spans("docker run")
    assert len(spans) == depth
    assert all(TOOL.items() <= dict(span.attributes or {}).items() for span in spans)


@pytest.mark.parametrize(("value", "names"), [("", ()), ("none", ()), ("tenant, session.id,", ("tenant",))])
def test_the_setting_selects_them(
    telemetry: Telemetry,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    names: tuple[str, ...],
) -> None:
    monkeypatch.setenv(_settings.CARRIED_ATTRIBUTES, value)
    with _tool(telemetry, tenant="t"):
        _run(recorder)
    assert tuple(_carried(telemetry)) == names


def test_only_scalars_are_carried(telemetry: Telemetry, recorder: Recorder) -> None:
    with _tool(telemetry, **{"gen_ai.tool.call.id": ["a", "b"], "session.id": 5}):
        _run(recorder)
    assert _carried(telemetry) == {"gen_ai.tool.name": "python", "session.id": 5}


class _Broken(trace.NonRecordingSpan):
    @property
    def attributes(self) -> dict[str, Any]:
        raise RuntimeError("a span of another SDK")


def test_an_unreadable_parent_does_not_prevent_recording(telemetry: Telemetry) -> None:
    recorder = telemetry.recorder(Scope("scope", "1"))
    with trace.use_span(_Broken(trace.INVALID_SPAN_CONTEXT)):
        _run(recorder)
    assert len(telemetry.spans()) == len(telemetry.logs()) == 1
    assert _guard.counts() == {"carried": 1}


def test_baggage_is_carried_if_the_parent_is_not_sampled(telemetry: Telemetry, recorder: Recorder) -> None:
    tracer = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("agent")
    token = context.attach(baggage.set_baggage("session.id", "s", Context()))
    try:
        with tracer.start_as_current_span("execute_tool", attributes=TOOL):
            _run(recorder)
    finally:
        context.detach(token)
    (log,) = telemetry.logs()
    assert telemetry.spans("docker run") == []
    assert (log.log_record.attributes or {})["session.id"] == "s"


def _child() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def _guest() -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, '(module (func (export "run")))')
    wasmtime.Instance(store, module, []).exports(store)["run"](store)


@pytest.mark.parametrize(
    ("instrumentor", "work"), [(SubprocessInstrumentor, _child), (WasmtimeInstrumentor, _guest)]
)
def test_instrumented_runtimes_carry_them(
    telemetry: Telemetry, instrumentor: type[BaseInstrumentor], work: Callable[[], None]
) -> None:
    patched = instrumentor()
    patched.instrument(**telemetry.providers)
    try:
        with _tool(telemetry):
            work()
        assert wait_until(lambda: len(telemetry.spans()) == 2)
    finally:
        patched.uninstrument()
    (execution,) = [span for span in telemetry.spans() if span.name != "execute_tool"]
    assert _carried(telemetry, execution.name) == TOOL
    assert "gen_ai" not in repr(telemetry.points("sandbox.executions"))
