"""What a module does when it is called is what it does without instrumentation."""

from __future__ import annotations

import copy
import os
import threading
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from harness import Telemetry

pytestmark = pytest.mark.torch

Instrument = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["outermost", "inside"])
def called(request: pytest.FixtureRequest, calling: Any) -> Callable[[Any], Any]:
    """Return what makes a model of a module: the module itself, or a model that calls it."""
    return calling if request.param == "inside" else lambda module: module


def _filled(torch: Any, value: float) -> Any:
    linear = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(linear.weight, value)
    return linear


def test_an_assigned_call_impl_calls_the_module_that_it_is_bound_to(
    instrumented: Telemetry, torch: Any, called: Any
) -> None:
    first, second = _filled(torch, 1), _filled(torch, 2)
    first._call_impl = second._call_impl
    assert called(first)(torch.ones(1, 2)).tolist() == [[4, 4]]
    assert len(instrumented.spans()) == 1


def test_a_copied_call_impl_calls_the_module_that_was_copied(
    instrumented: Telemetry, torch: Any, called: Any
) -> None:
    module = _filled(torch, 1)
    module._call_impl = module._call_impl
    copied = copy.copy(module)
    copied.forward = lambda _batch: "the copy's own"
    assert called(copied)(torch.ones(1, 2)).tolist() == [[2, 2]]
    assert len(instrumented.spans()) == 1


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_parametrised_module_is_called_as_without_instrumentation(
    torch: Any, telemetry: Telemetry, instrument: Instrument, called: Any, copier: Callable[[Any], Any]
) -> None:
    class Doubled(torch.nn.Module):
        def forward(self, weight: Any) -> Any:
            return weight * 2

    linear = _filled(torch, 1)
    torch.nn.utils.parametrize.register_parametrization(linear, "weight", Doubled())
    linear._call_impl = linear._call_impl

    def outcome() -> Any:
        try:
            copied = copier(linear)
        except RuntimeError as error:  # torch refuses to copy it other than deeply
            return str(error)
        copied.parametrizations.weight.original = torch.nn.Parameter(torch.full((2, 2), 3.0))
        return called(copied)(torch.ones(1, 2)).tolist()

    plain = outcome()
    with instrument():
        assert outcome() == plain
    if copier is copy.deepcopy:
        assert plain == [[12, 12]]
        assert len(telemetry.spans()) == 1


@pytest.mark.since_torch("2.6", "the profiler names modules")
def test_the_profiler_names_the_modules_as_without_instrumentation(
    torch: Any, instrument: Instrument, net: Any
) -> None:
    def names() -> list[str]:
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, with_stack=True) as profile:
            net(torch.ones(1, 4))
        return [event.name for event in profile.events() if event.name.startswith("nn.Module")]

    plain = names()
    assert [name.split()[1].rpartition("_")[0] for name in plain] == [
        "Net",
        "Sequential",
        "Linear",
        "ReLU",
        "Linear",
    ]
    with instrument():
        assert names() == plain


@pytest.mark.parametrize("own", ["subclass", "method", "function", "compiled", "forward"])
def test_a_call_that_a_module_defines_itself_is_used(
    instrumented: Telemetry, torch: Any, net: Any, called: Any, own: str
) -> None:
    def theirs(*_: Any) -> str:
        return "theirs"

    if own == "subclass":
        net.__class__ = type("Net", (type(net),), {"_call_impl": theirs})
    elif own == "compiled":
        net._compiled_call_impl = theirs
    elif own == "forward":
        net.forward = theirs
    else:
        net._call_impl = types.MethodType(theirs, net) if own == "method" else theirs
    assert called(net)(torch.ones(1, 4)) == "theirs"
    assert len(instrumented.spans()) == 1


def test_a_module_that_is_not_set_up_raises_as_without_instrumentation(
    instrumented: Telemetry, torch: Any, called: Any
) -> None:
    class Unready(torch.nn.Module):
        def __init__(self) -> None:
            pass

        def forward(self, batch: Any) -> Any:
            return batch

    with pytest.raises(AttributeError, match="'Unready' object has no attribute '_backward_hooks'"):
        called(Unready())(torch.ones(1))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_model_traced_inside_a_call_has_its_layers_in_its_graph(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    traced = calling(lambda batch: torch.jit.trace(net, batch))(torch.ones(1, 4))
    assert [name for name, _ in traced.named_children()] == ["layers"]


def test_a_child_forked_inside_a_call_records_calls_in_its_new_threads(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    """The thread that forked is still inside; a thread that the child starts is not."""
    batch, inside, over = torch.ones(1, 4), threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        over.wait(30)

    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            found = 1
            try:
                instrumented.clear()
                net(batch)
                before = len(instrumented.spans())
                threads = [threading.Thread(target=net, args=[batch]) for _ in range(3)]
                for thread in threads:
                    thread.start()
                    thread.join()
                found = 0 if (before, len(instrumented.spans())) == (0, 3) else 2
            finally:
                os._exit(found)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    thread = threading.Thread(target=calling(wait))
    thread.start()
    try:
        assert inside.wait(30)
        assert calling(fork)() == 0
    finally:
        over.set()
        thread.join(30)
