"""Finds the site of a call: whether the call is an execution, and of which model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sandscope.instrumentation import Site, report_error
from sandscope_instrumentation_torch._models import Found, Models
from sandscope_instrumentation_torch._verdicts import load_verdict

_Find: TypeAlias = "Callable[[Any, tuple[Any, ...], dict[str, Any]], Found | None]"


def load_site(api: str) -> Site:
    """Return the site of a load function."""
    return Site("torch", "load", f"load {api}", attributes={"torch.load.api": api}, verdict_of=load_verdict)


def site_finder(torch: Any) -> _Find:
    """Return a function that finds the site of a module call; its result is None if the call is no execution.

    The function takes the module, the arguments and the keyword arguments of the call. It is a closure because it
    runs for each outermost call, and local names are read faster than attributes.
    """
    models = Models(torch)
    known, tensor, compiler = models.known, torch.Tensor, torch.compiler
    is_grad_enabled, is_traced = torch.is_grad_enabled, torch._C._is_tracing
    # While gradients are computed, activation checkpointing calls modules again: the program did not.
    backward = torch._C._current_graph_task_id
    is_overridden = torch.overrides.has_torch_function_unary

    def find(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
        try:
            # The flag is what `torch.compiler.is_compiling` returns outside of dynamo, in a tenth of the time.
            if is_traced() or compiler._is_compiling_flag or backward() != -1:
                return None
            try:
                model = known[id(module)]
                weight = model.owner()._parameters[model.parameter]
            except (AttributeError, KeyError):
                weight = None  # The model is new, or the module that held its first parameter has gone.
            if weight is None:
                learnt = models.learn(module)
                if learnt is None:
                    return None
                model, weight = learnt
            if is_overridden(weight):
                # The program's tensor subclasses and modes must not see what is read from a tensor here.
                with torch._C.DisableTorchFunction():
                    return find(module, args, kwargs)
            # Asking the device for its type creates a device object, which is slow.
            device = "cpu" if weight.is_cpu else weight.device.type
            sites = (model.training if module.training and is_grad_enabled() else model.inference)[device]
            # Only plain tensors: the shape of a subclass may be symbolic, or computed by the program's code.
            batch = args[0] if args else None
            if type(batch) is not tensor:
                batch = next((value for value in (*args, *kwargs.values()) if type(value) is tensor), None)
            try:
                shape = None if batch is None else batch.shape
            except RuntimeError:
                shape = None  # A nested tensor has no shape; testing for one takes as long as the exception.
            return sites[shape]
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.site", error)
            return None

    return find
