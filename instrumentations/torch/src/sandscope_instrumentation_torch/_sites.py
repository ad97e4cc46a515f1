"""Finds the site of a call: whether the call is an execution, and of which model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from sandscope.instrumentation import report_error
from sandscope_instrumentation_torch._calls._inputs import input_finder
from sandscope_instrumentation_torch._dynamo import skip_frames
from sandscope_instrumentation_torch._models import Found, Model, Models

_Find: TypeAlias = "Callable[[Any, tuple[Any, ...], dict[str, Any]], Found | None]"


class Sites(NamedTuple):
    """Finds the sites of calls.

    Attributes:
        find: returns the site of a module call, or None if the call is no execution.
        known: the models that have been called, by their ``id()``.
    """

    find: _Find
    known: dict[int, Model]


def site_finder(torch: Any, trains: Callable[[int], None]) -> Sites:
    """Return what finds the sites of module calls.

    Args:
        torch: the module.
        trains: called for each call that is training, with the first dimension of its input, or 0 if it has none.

    The function takes the module, the arguments and the keyword arguments of the call. It is a closure because it
    runs for each outermost call, and local names are read faster than attributes. Compiled code finds the most frequent
    sites in the same way: `native_model_call`.
    """
    models = Models(torch)
    known, tensor, compiler = models.known, torch.Tensor, torch.compiler
    is_grad_enabled, is_traced = torch.is_grad_enabled, torch._C._is_tracing
    # While gradients are computed, activation checkpointing calls modules again: the program did not.
    backward = torch._C._current_graph_task_id
    is_overridden = torch.overrides.has_torch_function_unary
    find_input = input_finder(torch)
    fx = torch.fx._symbolic_trace
    is_symbolically_traced = getattr(fx, "is_fx_symbolic_tracing", None) or fx.is_fx_tracing

    def find(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
        try:
            # The flag is what `torch.compiler.is_compiling` returns outside of dynamo, in a tenth of the time.
            if is_traced() or compiler._is_compiling_flag or backward() != -1:
                return None
            try:
                model = known[id(module)]
                weight = model.owner()._parameters[model.parameter]  # type: ignore[misc] # or TypeError
            except (AttributeError, KeyError, TypeError):
                weight = None  # The model is new, has no parameters, or what held the first one has gone.
            if weight is None:
                learnt = models.learn(module)
                if learnt is None:
                    return None
                model, weight = learnt
            if weight is not None and is_overridden(weight):
                # The program's tensor subclasses and modes must not see what is read from a tensor here.
                with torch._C.DisableTorchFunction():
                    return find(module, args, kwargs)
            batch = args[0] if args else None
            if type(batch) is not tensor:
                if is_symbolically_traced():
                    return None
                batch = find_input(args, kwargs)
            # Asking the device for its type creates a device object, which is slow.
            if weight is not None and weight.is_cpu:
                place: Any = weight.dtype
            else:
                place = _place(weight, batch)
            trained = (
                model.trains  # False for a frozen script, which has no `training`
                and module.training
                and is_grad_enabled()
                and weight is not None
                and (weight.requires_grad or model.is_trained(module))
            )
            try:
                shape = None if batch is None else batch.shape
            except RuntimeError:
                shape = None  # A nested tensor has no shape; testing for one takes as long as the exception.
            if trained:
                trains(shape[0] if shape is not None and len(shape) > 1 else 0)
            return (model.training if trained else model.inference)[place][shape]
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.site", error)
            return None

    skip_frames(torch, find)
    return Sites(find, known)


def _place(weight: Any, batch: Any) -> tuple[str, Any]:
    """Return the device and the dtype of weights that are not on the CPU, or of the input if there are no weights."""
    found = batch if weight is None else weight
    if found is None:
        return "", None
    device = found.device.type
    if device == "meta" and batch is not None:  # The weights are elsewhere until they are needed.
        device = batch.device.type
    return device, found.dtype
