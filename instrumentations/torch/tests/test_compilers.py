"""torch's compilers and tracers give the same result as without instrumentation; a compiled model is one execution."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from harness import ROOT, Contract, Telemetry, clean_environment, lacking

CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"),
]


def _unseen(net: Any) -> Any:
    """Return a call of a model that is no execution."""

    def call(batch: Any) -> Any:
        with suppress_instrumentation():
            return net(batch)

    return call


def _unnumbered(graph: Any) -> str:
    """Return a graph's text; torch numbers the names of classes that it has seen before."""
    return re.sub(r"___torch_mangle_\d+\.", "", str(graph))


@pytest.mark.filterwarnings("ignore")  # As in a program: what would warn while tracing must still show.
def test_tracing_sees_no_more_than_without(
    torch: Any, telemetry: Telemetry, instrument: Any, net: Any
) -> None:
    def traces() -> list[Any]:
        return [
            _unnumbered(torch.jit.trace(net, torch.ones(1, 4), check_trace=False).inlined_graph),
            _unnumbered(torch.jit.script(net.layers).graph),
            str(torch.fx.symbolic_trace(net).graph),
        ]

    before = traces()
    with instrument():
        assert traces() == before
        assert telemetry.spans() == [], "tracing is no call"


@pytest.mark.parametrize("make", ["trace", "script", "fx", "parallel"])
def test_a_wrapped_model_is_one_execution_with_the_models_name(
    instrumented: Telemetry, torch: Any, net: Any, make: str
) -> None:
    device = "cuda" if make == "parallel" and torch.cuda.is_available() else "cpu"
    batch = torch.ones(1, 4, device=device)
    net.to(device)
    wrapped = {
        "trace": lambda: torch.jit.trace(net, batch, check_trace=False),
        "script": lambda: torch.jit.script(net.layers),
        "fx": lambda: torch.fx.symbolic_trace(net),
        "parallel": lambda: torch.nn.DataParallel(net),
    }[make]()
    assert torch.allclose(wrapped(batch), _unseen(net)(batch))
    name = "Sequential" if make == "script" else "Net"
    assert [span.name for span in instrumented.spans()] == [f"training {name}"]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.since_torch("2.6", "export is recorded as a call before")
def test_export_gives_the_same_graph(
    torch: Any, telemetry: Telemetry, instrument: Any, net: Any, strict: bool
) -> None:
    def graph() -> str:
        return str(torch.export.export(net, (torch.ones(1, 4),), strict=strict).graph)

    before = graph()
    with instrument():
        assert graph() == before
        assert telemetry.spans() == []


@pytest.fixture
def compiled(torch: Any) -> Iterator[Any]:
    """Return a backend that counts the graphs it is given."""
    import torch._dynamo.testing

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


@pytest.mark.parametrize("way", ["torch.compile", "Module.compile", "submodule hook"])
def test_a_compiled_model_is_one_graph_and_one_execution_a_call(
    instrumented: Telemetry, torch: Any, net: Any, compiled: Any, way: str
) -> None:
    if way == "submodule hook":
        net.layers[0].register_forward_hook(lambda _module, _batch, output: output + 1)
    expected = _unseen(net)(torch.ones(1, 4))
    if way == "Module.compile":
        model = net
        net.compile(backend=compiled, fullgraph=True)
    else:
        model = torch.compile(net, backend=compiled, fullgraph=True)
    for _ in range(3):
        assert torch.allclose(model(torch.ones(1, 4)), expected)
    assert compiled.frame_count == 1
    assert [span.name for span in instrumented.spans()] == ["training Net"] * 3
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.since_torch("2.6", "a compiled layer of a model is compiled")
def test_a_compiled_layer_of_a_model_is_called_compiled(
    telemetry: Telemetry, instrument: Any, torch: Any, net: Any, compiled: Any
) -> None:
    """As often as without instrumentation: torch 2.9 compiles no layer of its own classes."""
    expected = net(torch.ones(1, 4))

    def compilations() -> int:
        torch._dynamo.reset()
        compiled.frame_count = 0
        model = copy.deepcopy(net)
        model.layers[0].compile(backend=compiled, fullgraph=True)
        for _ in range(2):
            assert torch.allclose(model(torch.ones(1, 4)), expected)
        return int(compiled.frame_count)

    plain = compilations()
    assert plain == 1 or not torch.__version__.startswith("2.15")
    with instrument():
        assert compilations() == plain
    assert [span.name for span in telemetry.spans()] == ["training Net"] * 2


def test_a_compiled_function_that_calls_a_model_is_one_graph(
    instrumented: Telemetry, torch: Any, net: Any, compiled: Any
) -> None:
    function = torch.compile(lambda batch: net(batch) * 2, backend=compiled, fullgraph=True)
    assert torch.allclose(function(torch.ones(1, 4)), _unseen(net)(torch.ones(1, 4)) * 2)
    assert compiled.frame_count == 1
    assert torch._dynamo.explain(net)(torch.ones(1, 4)).graph_break_count == 0


def test_a_compiled_model_that_fails_raises_as_before(
    instrumented: Telemetry, torch: Any, net: Any, compiled: Any
) -> None:
    model = torch.compile(net, backend=compiled)
    model(torch.ones(1, 4))
    with pytest.raises(Exception, match="reduction dim"):
        model(torch.ones(1, 3))
    assert [(span.attributes or {})["sandbox.verdict.status"] for span in instrumented.spans()] == [
        "OK",
        "RE",
    ]


_MODELS_WITH_BREAKS = """
import json, sys
if "instrumented" in sys.argv:
    from sandscope_instrumentation_torch import TorchInstrumentor
    TorchInstrumentor().instrument()
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

LAYER = '''
class Layer{number}(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
    def forward(self, batch):
        batch = self.linear(batch)
        torch._dynamo.graph_break()
        return batch * {number}
'''
names = {"torch": torch}
for number in range(12):
    exec(LAYER.format(number=number), names)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(names[f"Layer{number}"]() for number in range(12))
    def forward(self, batch):
        for layer in self.layers:
            batch = layer(batch)
        return batch

def one_function(batch):  # an outermost call of a module after each break
    for layer in net.layers:
        torch._dynamo.graph_break()
        batch = layer(batch)
    return batch

torch.manual_seed(0)
net, batch = Net(), torch.ones(1, 4)
for case in (net, one_function):
    torch._dynamo.reset()
    counters.clear()
    backend = CompileCounter()
    compiled = torch.compile(case, backend=backend)
    results = [compiled(batch).tolist() for _ in range(2)]
    frames = {name: dict(counters[name]) for name in ("frames", "stats", "recompiles")}
    breaks = [reason.splitlines()[0] for reason in counters["graph_break"]]
    print(json.dumps([backend.frame_count, backend.op_count, frames, breaks, results]))
"""


@pytest.mark.parametrize("recorder", ["auto", "python"])
def test_a_model_with_graph_breaks_and_many_classes_compiles_as_without_instrumentation(
    torch: Any, recorder: str
) -> None:
    """The same graphs, breaks, frames and recompiles: torch's compiler does not see our frames."""
    environment = clean_environment(SANDSCOPE_RECORDER=recorder)
    plain, instrumented = (
        subprocess.run(
            [sys.executable, "-c", _MODELS_WITH_BREAKS, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        for arguments in ([], ["instrumented"])
    )
    assert plain.returncode == 0, plain.stderr
    assert json.loads(plain.stdout.splitlines()[0])[0] == 24
    assert instrumented.stdout == plain.stdout, instrumented.stderr
    assert "sandscope" not in instrumented.stderr


@pytest.mark.since_torch("2.6", "it names what breaks the graph")
def test_a_load_in_a_compiled_function_breaks_the_graph_where_it_did(
    instrumented: Telemetry, torch: Any, tmp_path: Path, compiled: Any
) -> None:
    from torch._dynamo.utils import counters

    torch.save(torch.ones(2), tmp_path / "ones.pt")
    path = str(tmp_path / "ones.pt")
    function = torch.compile(lambda batch: torch.load(path) + batch * 3, backend=compiled)
    assert function(torch.ones(2)).tolist() == [4, 4]
    (reason,) = counters["graph_break"]
    assert "serialization.py" in reason
    assert "`load`" in reason
    assert [span.name for span in instrumented.spans()] == ["load torch"]


@pytest.mark.slow
def test_the_default_compiler_builds_the_model(
    instrumented: Telemetry, torch: Any, net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("g++") is None:
        lacking("There is no C++ compiler. Install g++.")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    # Compiled headers would stay in the shared temporary folder; an older torch compiles none, and refuses the option.
    import torch._inductor

    headers = "cpp_cache_precompile_headers"
    options = {headers: False} if headers in torch._inductor.list_options() else None
    model = torch.compile(net.eval(), fullgraph=True, options=options)
    with torch.no_grad():
        assert torch.allclose(model(torch.ones(1, 4)), _unseen(net)(torch.ones(1, 4)))
    assert [span.name for span in instrumented.spans()] == ["inference Net"]
