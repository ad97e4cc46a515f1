"""Compiled code records the most frequent calls, and leaves all others to Python: both record the same."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from harness import Telemetry
from sandscope._deferred import _compiled
from sandscope_instrumentation_torch import TorchInstrumentor
from sandscope_instrumentation_torch._calls import _native_call

pytestmark = [
    pytest.mark.torch,
    pytest.mark.since_torch("2.15", "compiled code is used since"),
    pytest.mark.skipif(bool(_compiled.python_reason), reason="no compiled code"),
]


@pytest.fixture(params=["compiled", "python"])
def recorded(
    torch: Any, telemetry: Telemetry, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Telemetry]:
    """Return the telemetry of an instrumented torch, with compiled calls and with Python's."""
    if request.param == "python":
        monkeypatch.setattr(_native_call, "native_model_call", lambda *_args, **_kwargs: None)
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
    yield telemetry
    instrumentor.uninstrument()


def frames_of_ours(torch: Any, model: Any, batch: Any) -> list[str]:
    """Return the functions of the instrumentation that a call runs."""
    ours: list[str] = []

    def look(frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and "sandscope_instrumentation_torch" in frame.f_code.co_filename:
            ours.append(frame.f_code.co_name)

    sys.setprofile(look)
    try:
        model(batch)
    finally:
        sys.setprofile(None)
    return ours


def test_the_second_call_of_a_shape_runs_no_python_of_ours(torch: Any, instrumented: Telemetry) -> None:
    model = torch.nn.Linear(4, 2).eval()
    assert "find" in frames_of_ours(torch, model, torch.ones(1, 4))
    long_ones = {"set_peak", "<lambda>"}
    assert set(frames_of_ours(torch, model, torch.ones(1, 4))) <= long_ones
    assert "find" in frames_of_ours(torch, model, torch.ones(2, 4)), "a new shape"
    assert [span.name for span in instrumented.spans()] == ["inference Linear"] * 3


def _told(span: ReadableSpan) -> Any:
    attributes = dict(span.attributes or {})
    attributes.pop("torch.memory.peak", None)
    return span.name, attributes, span.status.status_code, span.parent is not None


def _ways(torch: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """Return ways to call a model; each one is done after an ordinary call."""

    def in_training(model: Any, batch: Any) -> Any:
        return model.train()(batch).sum().backward()

    def moved(model: Any, batch: Any) -> Any:
        return model.double()(batch.double())

    def replaced(model: Any, batch: Any) -> Any:
        model.weight = torch.nn.Parameter(torch.ones(2, 4, dtype=torch.float64))
        model.bias = None
        return model(batch.double())

    def without_weights(model: Any, batch: Any) -> Any:
        del model.weight
        with pytest.raises(AttributeError):
            model(batch)

    def own_call(model: Any, batch: Any) -> Any:
        model._compiled_call_impl = lambda given: given * 2
        return model(batch)

    def no_gradients(model: Any, batch: Any) -> Any:
        with torch.no_grad():
            return model(batch)

    def in_a_span(model: Any, batch: Any) -> Any:
        from opentelemetry import trace

        parent = trace.NonRecordingSpan(
            trace.SpanContext(1, 1, is_remote=False, trace_flags=trace.TraceFlags(1))
        )
        with trace.use_span(parent):
            return model(batch)

    return {
        "as before": lambda model, batch: model(batch),
        "no gradients": no_gradients,
        "another shape": lambda model, batch: model(torch.ones(3, 4)),
        "a keyword": lambda model, batch: model(input=batch),
        "a parameter as the batch": lambda model, batch: model(torch.nn.Parameter(batch)),
        "in training": in_training,
        "moved": moved,
        "replaced": replaced,
        "without weights": without_weights,
        "own call": own_call,
        "traced": lambda model, batch: torch.jit.trace(model, batch, check_trace=False),
        "vmap": lambda model, batch: torch.vmap(model)(torch.ones(3, 4)),
        "functional": lambda model, batch: torch.func.functional_call(
            model, {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, (batch,)
        ),
        "a mode": lambda model, batch: _with_mode(torch, model, batch),
        "in a span": in_a_span,
        "copied": lambda model, batch: type(model).__call__(model, batch),
    }


def _with_mode(torch: Any, model: Any, batch: Any) -> None:
    class Seen(torch.overrides.TorchFunctionMode):
        names: list[str] = []  # noqa: RUF012 -- a test's

        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(function.__name__)
            return function(*args, **(kwargs or {}))

    with Seen() as mode:
        model(batch)
    assert mode.names == ["linear"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_both_record_the_same(torch: Any, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[Any]:
        told = []
        for way in _ways(torch).values():
            instrumentor = TorchInstrumentor()
            instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
            try:
                model, batch = torch.nn.Linear(4, 2).eval(), torch.ones(1, 4)
                model(batch)
                model(batch)
                way(model, batch)
            finally:
                instrumentor.uninstrument()
            told.append([_told(span) for span in telemetry.spans()])
            telemetry.clear()
        return told

    compiled = run()
    monkeypatch.setattr(_native_call, "native_model_call", lambda *_args, **_kwargs: None)
    python = run()
    assert dict(zip(_ways(torch), compiled, strict=True)) == dict(zip(_ways(torch), python, strict=True))
    assert all(len(each) >= 2 for each in compiled)


def test_a_failure(torch: Any, recorded: Telemetry) -> None:
    model = torch.nn.Linear(4, 2).eval()
    model(torch.ones(1, 4))
    batch = torch.ones(1, 4)
    model.register_forward_hook(lambda *_: {}["canary"])
    with pytest.raises(KeyError, match="canary") as caught:
        model(batch)
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "<lambda>"
    with pytest.raises(KeyError):
        model(batch)
    statuses = [(span.attributes or {})["sandbox.verdict.status"] for span in recorded.spans()]
    assert statuses == ["OK", "RE", "RE"], "the thread is outside again"
    assert recorded.points("sandscope.errors") == []


def test_it_does_not_keep_models_or_results(torch: Any, recorded: Telemetry) -> None:
    model, batch = torch.nn.Linear(4, 2).eval(), torch.ones(1, 4)
    for _ in range(3):
        result = model(batch)
    gone = [weakref.ref(each) for each in (model, result)]
    before = sys.getrefcount(batch)
    gc.disable()
    try:
        for _ in range(100):
            model(batch)
        assert sys.getrefcount(batch) == before
        del model, result
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
