"""Where torch says what happens in a training: its data loaders, its engine of gradients, its optimizers, AMP."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import OK, Patches, report_error
from sandscope_instrumentation_torch._dynamo import skip_frames, uncompiled
from sandscope_instrumentation_torch._training._training import Training
from sandscope_instrumentation_torch._verdicts import call_verdict

_now = time.perf_counter


def wrap_engine(torch: Any, training: Training) -> Callable[[Any], Any]:
    """Return what wraps ``torch.autograd._engine_run_backward``, which computes gradients.

    Not ``torch.autograd.backward``: TorchScript and torch.compile know that function by its identity.
    """
    hidden, task = uncompiled(torch), torch._C._current_graph_task_id

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def _engine_run_backward(*args: Any, **kwargs: Any) -> Any:
            # `torch.autograd.grad` accumulates nothing; a backward pass inside another one is a part of it.
            if not kwargs.get("accumulate_grad") or task() != -1:
                return original(*args, **kwargs)
            began = _now()
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                hidden(training.backward, began, call_verdict(error))
                raise
            hidden(training.backward, began, OK)
            return result

        skip_frames(torch, _engine_run_backward)
        return _engine_run_backward

    return make


def wrap_next(torch: Any, training: Training) -> Callable[[Any], Any]:
    """Return what wraps ``__next__`` of the iterators of data loaders. Of nested ones, the outermost waits."""
    hidden = uncompiled(torch)

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def __next__(loader: Any) -> Any:  # noqa: N807 -- it is this method
            if not hidden(training.begin_wait):
                return original(loader)
            began = _now()
            try:
                batch = original(loader)
            except BaseException:
                hidden(training.end_data, loader)
                raise
            hidden(training.end_wait, loader, began)
            return batch

        skip_frames(torch, __next__)
        return __next__

    return make


def watch_optimizers(torch: Any, training: Training, patches: Patches) -> None:
    """Register torch's hooks that are called by the steps of all optimizers."""
    optimizers = sys.modules["torch.optim.optimizer"]  # torch.optim deletes its attribute
    is_compiling, hidden = torch.compiler.is_dynamo_compiling, uncompiled(torch)

    # torch.compile traces the hooks of an optimizer whose step it compiles: there they have to do nothing.
    def before(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if not is_compiling():
            hidden(training.begin_optimizer, optimizer)

    def after(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if not is_compiling():
            hidden(training.end_optimizer, optimizer)

    skip_frames(torch, before, after)
    patches.on_undo(optimizers.register_optimizer_step_pre_hook(before).remove)
    patches.on_undo(optimizers.register_optimizer_step_post_hook(after).remove)


def wrap_scaler(torch: Any, training: Training) -> Callable[[Any], Any]:
    """Return what wraps ``GradScaler.step``, which skips the optimizer's step if gradients are infinite."""
    hidden = uncompiled(torch)
    hooked = torch.optim.Optimizer.profile_hook_step(lambda _optimizer: None).__code__

    def end(optimizer: Any) -> None:
        try:
            # After a step that has called its hooks there is nothing to end. Others call none, and are not skipped.
            if getattr(type(optimizer).step, "__code__", None) is hooked:
                training.end_step(_now(), skipped=True)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.training", error)

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(scaler, optimizer, *args, **kwargs)
            hidden(end, optimizer)
            return result

        skip_frames(torch, step)
        return step

    return make
