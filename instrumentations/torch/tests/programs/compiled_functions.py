"""Compiles functions that use models in each way that is known; prints what torch's compiler made of them.

With the argument ``instrumented``, it also writes a line to stderr for each execution.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo
from opentelemetry.sdk.trace import ReadableSpan
from torch._dynamo import convert_frame
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

from harness import Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

telemetry = Telemetry("deferred") if "instrumented" in sys.argv else None
if telemetry is not None:
    TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())


def by_global(batch: Any) -> Any:
    """Call a global model."""
    return net(batch) * 2


def by_closure() -> Callable[..., Any]:
    """Return a function that calls a model of its closure."""
    local = torch.nn.Linear(4, 2)
    return lambda batch: local(batch) + 1


def by_argument(model: Any, batch: Any) -> Any:
    """Call a model that is given."""
    return model(batch)


def by_other_function(batch: Any) -> Any:
    """Call a function that calls a model."""
    return by_global(batch) + 1


def with_a_break(batch: Any) -> Any:
    """Call a model before and after a graph break."""
    batch = net(batch)
    torch._dynamo.graph_break()
    return net(batch)


def without_a_model(batch: Any) -> Any:
    """Call no model."""
    return torch.nn.functional.relu(batch) * 2


class Holder:
    """Has a model as an attribute."""

    def __init__(self) -> None:
        self.model = torch.nn.Linear(4, 3)

    def predict(self, batch: Any) -> Any:
        """Call it."""
        return self.model(batch)


class Coder(torch.nn.Module):
    """Is a model with another method than `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def encode(self, batch: Any) -> Any:
        """Call a layer."""
        return self.linear(batch) * 3

    def forward(self, batch: Any) -> Any:
        """Call it, too."""
        return self.linear(batch)


def nested(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function that calls a compiled function."""
    inner = compile_(by_global)
    return lambda batch: inner(batch) + inner(batch)


def decorated(compile_: Callable[..., Any]) -> Any:
    """Return an instance of a class of models that is compiled as a whole."""
    return compile_(type("Decorated", (Coder,), {}))()


WAYS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "global": lambda compile_: compile_(by_global),
    "closure": lambda compile_: compile_(by_closure()),
    "argument": lambda compile_: functools.partial(compile_(by_argument), net),
    "partial": lambda compile_: compile_(functools.partial(by_argument, net)),
    "function": lambda compile_: compile_(by_other_function),
    "attribute": lambda compile_: compile_(Holder().predict),
    "method": lambda compile_: compile_(Coder().encode),
    "nested": lambda compile_: compile_(nested(compile_)),
    "break": lambda compile_: compile_(with_a_break),
    "module": lambda compile_: compile_(net),
    "layer": lambda compile_: compile_(torch.nn.Linear(4, 2)),
    "class": decorated,
    "none": lambda compile_: compile_(without_a_model),
}


def compiled_as(name: str, *, fullgraph: bool) -> list[Any]:
    """Return what the compiler made of a function that is called with three shapes."""
    torch._dynamo.reset()
    counters.clear()
    backend = CompileCounter()
    function = WAYS[name](functools.partial(torch.compile, backend=backend, fullgraph=fullgraph))
    results = [function(torch.ones(size, 4)).tolist() for size in (2, 2, 3, 5)]
    frames = {kind: dict(counters[kind]) for kind in ("frames", "stats", "recompiles")}
    breaks = [reason.splitlines()[0] for reason in counters["graph_break"]]
    return [name, fullgraph, backend.frame_count, backend.op_count, frames, breaks, guards(), results]


def guards() -> list[str]:
    """Return the guards of all that is compiled, with the addresses of objects left out."""
    entries_of = torch._C._dynamo.eval_frame._debug_get_cache_entry_list
    codes = [code for reference in convert_frame.input_codes.seen if (code := reference()) is not None]
    texts = [str(entry.guard_manager) for code in codes for entry in entries_of(code)]
    return [re.sub(r"0x[0-9a-f]+|\d{6,}", "N", text) for text in texts]


def execution(name: str, span: ReadableSpan) -> dict[str, Any]:
    """Return what is told of an execution."""
    attributes = dict(span.attributes or {})
    told = {"way": name, "span": span.name, "function": attributes.get("torch.compile.function")}
    return {**told, "batch": attributes["torch.batch.size"]}


def main() -> None:
    """Print a line for each way."""
    for name in WAYS:
        for fullgraph in (False, True) if name != "break" else (False,):
            sys.stdout.write(json.dumps(compiled_as(name, fullgraph=fullgraph)) + "\n")
            if telemetry is not None:
                for span in telemetry.spans():
                    sys.stderr.write(json.dumps(execution(name, span)) + "\n")
                telemetry.clear()


if __name__ == "__main__":
    main()
