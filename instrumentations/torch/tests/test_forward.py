"""What a module does when it is called is what torch does, however little of torch's own call is left."""

from __future__ import annotations

import os
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from harness import Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor, _forward, _patch

pytestmark = pytest.mark.torch


@pytest.fixture(params=["outermost", "inside"])
def model(request: pytest.FixtureRequest, net: Any, calling: Any) -> Any:
    """The net, or a model that calls it."""
    return calling(net) if request.param == "inside" else net


def test_torchs_own_call_is_as_known(torch: Any) -> None:
    """Fails with a version of torch whose call has changed: read it, then `_forward.py`."""
    module = torch.nn.Module
    assert module.__call__ is module._wrapped_call_impl
    assert _forward._digest(module.__call__) == _forward._KNOWN_CALL
    assert _forward._digest(module._call_impl, 2) == _forward._KNOWN_IMPL


def test_without_a_source_nothing_is_known() -> None:
    made_from_text = NamedTuple("made_from_text", [("field", int)]).__new__
    assert type(made_from_text) is types.FunctionType
    assert [_forward._digest(function) for function in (len, made_from_text)] == ["", ""]


@contextmanager
def _hooked(torch: Any, net: Any, register: Callable[[Any, Any], Any]) -> Iterator[None]:
    handle = register(torch, net)
    try:
        yield
    finally:
        handle.remove()


def _replaced(value: Any) -> Callable[..., Any]:
    return lambda _module, *_: value


HOOKS: dict[str, Callable[[Any, Any], Any]] = {
    "forward hook": lambda _torch, net: net.register_forward_hook(_replaced("hooked")),
    "always called": lambda _torch, net: net.register_forward_hook(_replaced("hooked"), always_call=True),
    "pre-hook": lambda torch, net: net.register_forward_pre_hook(_replaced(torch.full((1, 4), 7.0))),
    "global hook": lambda torch, _net: torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: "hooked" if type(module).__name__ == "Net" else None
    ),
    "global pre-hook": lambda torch, _net: torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, *_: torch.full((1, 4), 7.0) if type(module).__name__ == "Net" else None
    ),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_change_what_they_change_without_us(
    torch: Any, telemetry: Telemetry, net: Any, model: Any, hook: str
) -> None:
    batch = torch.ones(1, 4)

    def run() -> Any:
        with _hooked(torch, net, HOOKS[hook]):
            changed = model(batch)
        return changed, model(batch)

    plain = run()
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(**telemetry.providers)
    try:
        ours = run()
    finally:
        instrumentor.uninstrument()
    assert str(ours) == str(plain)
    assert str(plain[0]) != str(plain[1])
    assert len(telemetry.spans()) == 2


@pytest.mark.parametrize("where", ["backward", "backward pre", "global backward", "global backward pre"])
def test_backward_hooks_run(instrumented: Telemetry, torch: Any, net: Any, model: Any, where: str) -> None:
    ran, shared = [], torch.nn.modules.module
    register = {
        "backward": net.register_full_backward_hook,
        "backward pre": net.register_full_backward_pre_hook,
        "global backward": shared.register_module_full_backward_hook,
        "global backward pre": shared.register_module_full_backward_pre_hook,
    }[where]
    handle = register(lambda module, *_: ran.append(type(module).__name__))
    try:
        model(torch.ones(1, 4, requires_grad=True)).sum().backward()
    finally:
        handle.remove()
    assert "Net" in ran


@pytest.mark.parametrize("own", ["subclass", "method", "function", "compiled", "forward"])
def test_a_call_of_a_modules_own_is_used(
    instrumented: Telemetry, torch: Any, net: Any, model: Any, own: str
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
    assert model(torch.ones(1, 4)) == "theirs"


@pytest.mark.parametrize("inside", [False, True])
def test_a_module_that_is_not_set_up_says_what_it_says_without_us(
    instrumented: Telemetry, torch: Any, calling: Any, inside: bool
) -> None:
    class Unready(torch.nn.Module):
        def __init__(self) -> None:
            pass

        def forward(self, batch: Any) -> Any:
            return batch

    model: Any = calling(Unready()) if inside else Unready()
    with pytest.raises(AttributeError, match="'Unready' object has no attribute '_backward_hooks'"):
        model(torch.ones(1))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_model_traced_inside_a_call_has_its_layers_in_its_graph(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    traced = calling(lambda batch: torch.jit.trace(net, batch))(torch.ones(1, 4))
    assert [name for name, _ in traced.named_children()] == ["layers"]


def test_a_child_forked_inside_a_call_counts_only_its_own_thread(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    """Numbers of the parent's other threads are given to threads of the child again."""
    inside, over = threading.Event(), threading.Event()

    def wait(_batch: Any) -> None:
        inside.set()
        over.wait(30)

    def fork(_batch: Any) -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if _patch._calling == {threading.get_ident()} else 1)
        return os.waitpid(pid, 0)[1]

    thread = threading.Thread(target=calling(wait), args=[torch.ones(1)])
    thread.start()
    try:
        assert inside.wait(30)
        assert calling(fork)(torch.ones(1)) == 0
    finally:
        over.set()
        thread.join(30)
    assert _patch._calling == set()
