"""Which site a call has: whether it is an execution at all, and of which model."""

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
    """Return what finds the site of a call, from the module and its arguments; None if it is no execution.

    It runs for each call: a closure, as local names are read faster than attributes.
    """
    models = Models(torch)
    known, tensor, compiler = models.known, torch.Tensor, torch.compiler
    is_grad_enabled = torch.is_grad_enabled
    # Activation checkpointing calls modules again while gradients are computed: not the user's calls.
    backward = torch._C._current_graph_task_id
    is_overridden = torch.overrides.has_torch_function_unary

    def find(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
        try:
            # The flag is what `torch.compiler.is_compiling` returns outside of dynamo, in a tenth of the time.
            if compiler._is_compiling_flag or backward() != -1:
                return None
            try:
                model = known[id(module)]
                weight = model.owner()._parameters[model.parameter]
            except (AttributeError, KeyError):
                weight = None  # The model is new, or has lost what had its first parameter.
            if weight is None:
                learnt = models.learn(module)
                if learnt is None:
                    return None
                model, weight = learnt
            if is_overridden(weight):
                # What reads a tensor here is not to be seen by the user's tensor subclasses and modes.
                with torch._C.DisableTorchFunction():
                    return find(module, args, kwargs)
            # Not always from the device itself: to make one and ask for its type takes long.
            device = "cpu" if weight.is_cpu else weight.device.type
            sites = (model.training if module.training and is_grad_enabled() else model.inference)[device]
            # Only plain tensors: the shape of a subclass may be symbolic, or code of the user's.
            batch = args[0] if args else None
            if type(batch) is not tensor:
                batch = next((value for value in (*args, *kwargs.values()) if type(value) is tensor), None)
            try:
                shape = None if batch is None else batch.shape
            except RuntimeError:
                shape = None  # A nested tensor has none; to ask for that takes as long as this.
            return sites[shape]
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.describe", error)
            return None

    return find
