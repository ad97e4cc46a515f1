"""A program that inspects its modules and functions finds them as without instrumentation."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import wrapt

from harness import ROOT, Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"),
]
_PATCHED = ("load", "serialization.load", "jit.load", "jit._serialization.load", "export.load")


def _look_up(torch: Any, path: str) -> Any:
    found = torch
    for name in path.split("."):
        found = getattr(found, name)
    return found


def test_uninstrument_restores_everything_exactly(torch: Any, telemetry: Telemetry, net: Any) -> None:
    call, compiled = torch.nn.Module.__call__, vars(torch.nn.Module)["_compiled_call_impl"]
    loads = [_look_up(torch, path) for path in _PATCHED]
    for _ in range(2):
        TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
        assert torch.nn.Module.__call__ is call
        assert vars(torch.nn.Module)["_compiled_call_impl"] is not compiled
        assert all(_look_up(torch, path) is not load for path, load in zip(_PATCHED, loads, strict=True))
        TorchInstrumentor().uninstrument()
        assert vars(torch.nn.Module)["_compiled_call_impl"] is compiled
        assert all(_look_up(torch, path) is load for path, load in zip(_PATCHED, loads, strict=True))
    net(torch.ones(1, 4))
    assert telemetry.spans() == []


def test_patched_functions_look_and_pickle_as_before(torch: Any, instrument: Any) -> None:
    functions = [torch.nn.Module.__call__, torch.load, torch.jit.load, torch.export.load]
    before = [(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in functions]
    with instrument():
        functions = [torch.nn.Module.__call__, torch.load, torch.jit.load, torch.export.load]
        after = [
            (f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f)) for f in functions
        ]
        assert after == before
        assert torch.load is torch.serialization.load
        for function in functions[1:]:
            assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301 -- made here


def test_a_called_module_has_no_new_attributes(instrumented: Telemetry, torch: Any) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 2))
    before = dict(vars(net))
    net(torch.ones(1, 4))
    assert vars(net) == before
    assert b"sandscope" not in pickle.dumps(net)
    for clone in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301 -- made here
        assert torch.equal(clone(torch.ones(1, 4)), net(torch.ones(1, 4)))
    assert pickle.loads(pickle.dumps(net.__call__))(torch.ones(1, 4)).shape == (1, 2)  # noqa: S301


def test_modules_are_not_kept_alive(instrumented: Telemetry, torch: Any) -> None:
    net = torch.nn.Linear(4, 2)
    net(torch.ones(1, 4))
    gone = weakref.ref(net)
    gc.disable()
    try:
        del net
        assert gone() is None
    finally:
        gc.enable()


def test_hooks_of_the_user_run_once(instrumented: Telemetry, torch: Any, net: Any) -> None:
    ran: list[str] = []
    net.register_forward_pre_hook(lambda *_: ran.append("before"))
    net.register_forward_hook(lambda *_: ran.append("after"))
    net.register_full_backward_hook(lambda *_: ran.append("backward"))
    net(torch.ones(1, 4, requires_grad=True)).sum().backward()
    assert ran == ["before", "after", "backward"]


@pytest.mark.parametrize("odd", ["unhashable", "never equal", "eq raises"])
def test_a_modules_own_equality_is_not_used(instrumented: Telemetry, torch: Any, odd: str) -> None:
    def equal(_self: Any, _other: object) -> bool:
        if odd == "eq raises":
            raise RuntimeError("Boolean value of Tensor is ambiguous")
        return False

    members = {"__eq__": equal, "__hash__": None if odd == "unhashable" else lambda _self: 1}
    module = type("Odd", (torch.nn.Linear,), members)(4, 2)
    for _ in range(2):
        module(torch.ones(1, 4))
    assert [span.name for span in instrumented.spans()] == ["training Odd"] * 2


def test_tensor_subclasses_and_modes_see_only_the_users_operations(
    instrumented: Telemetry, torch: Any
) -> None:
    class Seen(torch.overrides.TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(function.__name__)
            return function(*args, **(kwargs or {}))

    class Mine(torch.Tensor):
        names: list[str] = []  # noqa: RUF012 -- a test's

        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            cls.names.append(function.__name__)
            return super().__torch_function__(function, types, args, kwargs or {})

    net = torch.nn.Linear(4, 2)
    with Seen() as mode:
        net(torch.ones(1, 4))
    net(torch.ones(1, 4).as_subclass(Mine))
    assert mode.names == ["ones", "linear"]
    assert Mine.names == ["linear"]
    assert len(instrumented.spans()) == 2


def test_parameters_can_still_be_swapped(instrumented: Telemetry, torch: Any, net: Any) -> None:
    """torch.utils.swap_tensors refuses a tensor that something refers to weakly."""
    net(torch.ones(1, 4))
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.to(torch.float64)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert net(torch.ones(1, 4, dtype=torch.float64)).dtype is torch.float64


def test_functional_call_uses_the_given_parameters(instrumented: Telemetry, torch: Any, net: Any) -> None:
    zeros = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    assert torch.func.functional_call(net, zeros, (torch.ones(1, 4),)).abs().sum() == 0
    for zero in zeros.values():
        zero.requires_grad_()
    torch.func.functional_call(net, zeros, (torch.ones(1, 4),))
    assert [span.name for span in instrumented.spans()] == ["inference Net", "training Net"]


def test_a_program_reads_whether_a_module_is_compiled_as_before(
    instrumented: Telemetry, torch: Any, net: Any
) -> None:
    assert torch.nn.Module._compiled_call_impl is None
    assert net._compiled_call_impl is None
    net._compiled_call_impl = called = lambda batch: batch
    assert net._compiled_call_impl is called
    del net._compiled_call_impl
    assert net._compiled_call_impl is None
    with pytest.raises(AttributeError):
        del net._compiled_call_impl


def test_layers_find_the_frames_that_they_find_without_instrumentation(
    torch: Any, instrument: Any, net: Any
) -> None:
    """Those that read ``sys._getframe`` or warn with a ``stacklevel``."""
    found: list[list[str]] = []

    class Looking(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            frames = [sys._getframe(depth) for depth in range(7)]
            found.append([frame.f_code.co_name for frame in frames])
            return batch

    net.layers.append(Looking())
    net(torch.ones(1, 4))
    with instrument():
        net(torch.ones(1, 4))
    assert found[1] == found[0]
    assert found[0].count("_wrapped_call_impl") == 2


_WRAPPED: dict[str, Callable[[Any, Any], Any]] = {
    "plainly": lambda theirs, _before: theirs,
    "by wraps": lambda theirs, before: functools.wraps(before)(theirs),
    "by wrapt": lambda theirs, before: wrapt.FunctionWrapper(
        before, lambda _call, self, args, kwargs: theirs(self, *args, **kwargs)
    ),
}


@pytest.mark.parametrize(
    "how", list(itertools.product(_WRAPPED, ("__call__", "_call_impl"), ("before", "after"))), ids=str
)
def test_patches_of_other_packages_are_called_for_layers_too(
    torch: Any, telemetry: Telemetry, net: Any, how: tuple[str, str, str]
) -> None:
    kind, name, when = how
    called: list[str] = []
    before = getattr(torch.nn.Module, name)

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(type(self).__name__)
        return before(self, *args, **kwargs)

    instrumentor = TorchInstrumentor()
    try:
        with pytest.MonkeyPatch.context() as patch:
            if when == "after":
                instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
                before = getattr(torch.nn.Module, name)
            patch.setattr(torch.nn.Module, name, _WRAPPED[kind](theirs, before))
            if when == "before":
                instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
            net(torch.ones(1, 4))
    finally:
        instrumentor.uninstrument()
    assert called == ["Net", "Sequential", "Linear", "ReLU", "Linear"]
    assert [span.name for span in telemetry.spans()] == ["training Net"]


def test_vmap_over_a_model(instrumented: Telemetry, torch: Any, net: Any) -> None:
    assert torch.vmap(net)(torch.ones(3, 4)).shape == (3, 2)
    assert CONTRACT.violations(instrumented) == []
