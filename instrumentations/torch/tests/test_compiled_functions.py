"""A compiled function that uses a model is an execution; torch compiles it as without instrumentation."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry, clean_environment
from sandscope_instrumentation_torch import TorchInstrumentor

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
_PROGRAM = ROOT / "instrumentations" / "torch" / "tests" / "programs" / "compiled_functions.py"
BOTH = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])


@pytest.fixture(autouse=True)
def dynamo(torch: Any) -> Iterator[Any]:
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_PROGRAM), *arguments],
        env=clean_environment(PYTHONPATH=str(ROOT / "tests"), **variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


@pytest.fixture(scope="module")
def plain_run(torch: Any) -> subprocess.CompletedProcess[str]:
    """Return the run of the program without instrumentation."""
    return _run()


@pytest.fixture(scope="module", params=["compiled", "python"])
def instrumented_run(torch: Any, request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    """Return the instrumented run of the program, with the compiled hot path and without."""
    return _run("instrumented", **({"SANDSCOPE_RECORDER": "python"} if request.param == "python" else {}))


@pytest.mark.since_torch("2.6", "partial functions, and what its guards say")
def test_the_compiler_does_the_same(plain_run: Any, instrumented_run: Any) -> None:
    """The same graphs, operations, frames, breaks, recompiles and guards, and the same results."""
    plain, instrumented = (
        [json.loads(line) for line in run.stdout.splitlines()] for run in (plain_run, instrumented_run)
    )
    assert len(plain) == 25
    assert all("TENSOR_MATCH" in "".join(guards) for *_, guards, _results in plain)
    assert instrumented == plain


@pytest.mark.since_torch("2.6", "partial functions, and what its guards say")
@pytest.mark.parametrize(
    ("way", "model", "function"),
    [
        ("global", "Sequential", "by_global"),
        ("closure", "Linear", "by_closure.<locals>.<lambda>"),
        ("argument", "Sequential", "by_argument"),
        ("partial", "Sequential", "by_argument"),
        ("function", "Sequential", "by_other_function"),
        ("attribute", "Linear", "Holder.predict"),
        ("method", "Coder", "Coder.encode"),
        ("nested", "Sequential", "nested.<locals>.<lambda>"),
        ("break", "Sequential", "with_a_break"),
        ("module", "Sequential", None),
        ("layer", "Linear", None),
        ("class", "Decorated", None),
    ],
)
def test_a_call_is_one_execution_of_the_model(
    instrumented_run: Any, way: str, model: str, function: str | None
) -> None:
    lines = [json.loads(line) for line in instrumented_run.stderr.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["way"] == way]
    assert [line["batch"] for line in told] == [2, 2, 3, 5] * (1 if way == "break" else 2)
    assert {(line["span"], line["function"]) for line in told} == {(f"training {model}", function)}


@pytest.mark.since_torch("2.6", "partial functions, and what its guards say")
def test_a_function_without_a_model_is_no_execution(instrumented_run: Any) -> None:
    assert '"none"' not in instrumented_run.stderr


@BOTH
@pytest.mark.since_torch("2.6", "compilations are not recorded before")
def test_what_is_recorded_of_a_compiled_function(instrumented: Telemetry, torch: Any, net: Any) -> None:
    function = torch.compile(lambda batch: net(batch) * 2, backend="eager", fullgraph=True)
    with torch.no_grad():
        function(torch.ones(3, 4))
    (span,) = instrumented.spans()
    attributes = dict(span.attributes or {})
    assert span.name == "inference Net"
    assert attributes["torch.input.shape"] == (3, 4)
    assert attributes["torch.compile.function"].endswith("<lambda>")
    assert [event.name for event in span.events] == ["torch.compile"]
    assert CONTRACT.violations(instrumented) == []


@BOTH
def test_a_compiled_function_with_several_models(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    """One execution, of the first model; the attribute names all of them once."""
    head = torch.nn.Linear(2, 2)
    function = torch.compile(lambda batch: head(net(batch)) + net(batch) * 2, backend="eager", fullgraph=True)
    function(torch.ones(3, 4))
    (span,) = instrumented.spans()
    attributes = dict(span.attributes or {})
    assert span.name == f"training {attributes['torch.module']}"
    assert sorted(attributes["torch.compile.modules"]) == ["Linear", "Net"]
    assert attributes["torch.module"] == attributes["torch.compile.modules"][0]
    assert CONTRACT.violations(instrumented) == []


@BOTH
def test_a_compiled_function_that_fails(instrumented: Telemetry, torch: Any, net: Any) -> None:
    function = torch.compile(lambda batch: net(batch) + 1, backend="eager")
    function(torch.ones(1, 4))
    with pytest.raises(Exception, match="reduction dim"):
        function(torch.ones(1, 3))
    function(torch.ones(1, 4))
    statuses = [(span.attributes or {})["sandbox.verdict.status"] for span in instrumented.spans()]
    assert statuses == ["OK", "RE", "OK"]


def test_a_compiled_step_of_a_training_is_a_step(instrumented: Telemetry, torch: Any, net: Any) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @torch.compile(backend="eager")
    def loss_of(batch: Any) -> Any:
        return net(batch).sum()

    for _ in range(3):
        loss_of(torch.ones(2, 4)).backward()
        optimizer.step()
    steps = instrumented.points("torch.training.step.duration")
    assert [count for _, count in steps] == [3]
    assert sum(value for _, value in instrumented.points("torch.training.samples")) == 6


def test_a_generator_is_left_to_run_later(instrumented: Telemetry, torch: Any, net: Any) -> None:
    @torch.compile(backend="eager")
    def each(batches: Any) -> Any:
        for batch in batches:
            yield net(batch)

    assert len(list(each([torch.ones(1, 4)] * 2))) == 2
    assert [span.name for span in instrumented.spans()] == ["training Net"] * 2


def test_a_function_that_was_compiled_while_instrumented_only_calls_it_afterwards(
    torch: Any, telemetry: Telemetry, instrument: Any, net: Any
) -> None:
    plain = torch._dynamo.eval_frame._TorchDynamoContext.__call__
    with instrument():
        assert torch._dynamo.eval_frame._TorchDynamoContext.__call__ is not plain
        function = torch.compile(lambda batch: net(batch) + 1, backend="eager")
        function(torch.ones(1, 4))
    assert torch._dynamo.eval_frame._TorchDynamoContext.__call__ is plain
    function(torch.ones(1, 4))
    assert len(telemetry.spans()) == 1


def _compiled_at_the_top(batch: Any) -> Any:
    return batch * 2


def test_a_compiled_function_looks_and_pickles_as_before(
    torch: Any, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> tuple[Any, ...]:
        function = torch.compile(_compiled_at_the_top, backend="eager", dynamic=False)
        monkeypatch.setattr(sys.modules[__name__], "_compiled_at_the_top", function)
        assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301 -- made here
        again = torch.compile(function, backend="eager")  # the compiler knows its own
        monkeypatch.undo()
        assert again.__wrapped__ is _compiled_at_the_top
        names = (function.__name__, function.__qualname__, function.__module__, function.__wrapped__)
        return (*names, sorted(vars(function)))

    plain = look()
    with instrument():
        assert look() == plain


@pytest.mark.parametrize("stance", ["default", "force_eager"])
@pytest.mark.since_torch("2.6", "set_stance")
def test_a_compiled_optimizer_is_measured_once(
    instrumented: Telemetry, torch: Any, net: Any, stance: str
) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    step = torch.compile(optimizer.step, backend="eager")
    with torch.compiler.set_stance(stance):
        for _ in range(3):
            net(torch.ones(2, 4)).sum().backward()
            step()
    counts = {
        name: sum(count for _, count in instrumented.points(f"torch.training.{name}.duration"))
        for name in ("step", "optimizer")
    }
    assert counts == {"step": 3, "optimizer": 3}
    assert CONTRACT.violations(instrumented) == []


def test_a_compiled_optimizer_compiles_and_computes_as_without(
    torch: Any, instrument: Any, dynamo: Any
) -> None:
    from torch._dynamo.testing import CompileCounter
    from torch._dynamo.utils import counters

    def train() -> tuple[Any, ...]:
        dynamo.reset()
        counters.clear()
        torch.manual_seed(0)
        net, backend = torch.nn.Linear(4, 2), CompileCounter()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1, foreach=True)
        step = torch.compile(optimizer.step, backend=backend)
        for _ in range(4):
            net(torch.ones(2, 4)).sum().backward()
            step()
            optimizer.zero_grad()
        # Not the frames: torch compiles an empty one of its own by itself only if an optimizer has no hooks.
        stats = {name: dict(counters[name]) for name in ("stats", "recompiles", "graph_break")}
        return backend.frame_count, backend.op_count, stats, net.weight.tolist()

    train()  # what is made only once
    plain = train()
    assert plain[0] > 0
    with instrument():
        assert train() == plain


def test_a_compiled_optimizer_that_fails_raises_as_before(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    class Failing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise ValueError("canary")

    step = torch.compile(Failing(net.parameters(), lr=0.1).step, backend="eager")
    with pytest.raises(ValueError, match="canary"):
        step()
    assert instrumented.points("torch.training.optimizer.duration") == []
    assert TorchInstrumentor().is_instrumented_by_opentelemetry
