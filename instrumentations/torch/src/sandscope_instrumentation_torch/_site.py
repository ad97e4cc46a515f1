"""What is known of a call before it starts: the model's name, its sites, where its weights are."""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

from sandscope import Site, Value, report_error
from sandscope_instrumentation_torch._verdict import call_verdict, load_verdict

_WRAPPED = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
}


_MOST_SHAPES = 16
"""Of one model that get sites of their own: a program may have ever new ones, and sites are remembered."""

_SHAPE = "torch.input.shape"
_Shape = tuple[int, ...]
_Found = tuple[Site, "dict[str, Value] | None"]


class _Model:
    """A model that has been called.

    Attributes:
        gone: what forgets the model when it dies.
        owner: the module that holds its first parameter: itself or one inside.
        parameter: that parameter's name. A weak reference to the parameter itself would make
            torch.utils.swap_tensors refuse it.
        name: the model's.
        inference: what has been found, by the device and the input's shape.
        training: the same.
    """

    __slots__ = ("gone", "inference", "name", "owner", "parameter", "training")

    def __init__(self, gone: weakref.ref[Any], owner: weakref.ref[Any], parameter: str, name: str) -> None:
        self.gone = gone
        self.owner = owner
        self.parameter = parameter
        self.name = name
        self.inference: defaultdict[str, dict[_Shape | None, _Found]] = defaultdict(dict)
        self.training: defaultdict[str, dict[_Shape | None, _Found]] = defaultdict(dict)

    def add(self, operation: str, device: str, shape: _Shape | None) -> _Found:
        """Make a site for a call; beyond the limit it leaves the shape to each call."""
        sites = (self.training if operation == "training" else self.inference)[device]
        if shape is not None and len(sites) >= _MOST_SHAPES:
            site, _ = sites.get(None) or self.add(operation, device, None)
            return site, {_SHAPE: tuple(shape)}
        attributes: dict[str, Value] = {"torch.module": self.name, "torch.device": device}
        if shape is not None:
            attributes[_SHAPE] = tuple(shape)
        name = f"{operation} {self.name}"
        site = Site("torch", operation, name, attributes=attributes, verdict_of=call_verdict)
        found = sites[shape] = site, None
        return found


class CallSites:
    """The sites of every model seen, kept beside the models: an attribute on them would be pickled."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._tensor, self._is_grad_enabled = torch.Tensor, torch.is_grad_enabled
        self._is_tracing, self._compiler = torch._C._is_tracing, torch.compiler
        # Activation checkpointing calls modules again while gradients are computed: not the user's calls.
        self._backward = torch._C._current_graph_task_id
        self._is_overridden = torch.overrides.has_torch_function_unary
        # By identity: a module's own __eq__ and __hash__ may be anything. A module that dies takes its
        # entry with it before its identity can be another's.
        self._models: dict[int, _Model] = {}

    def find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Found | None:
        """Return the site of a call and what attributes it has beside; None if it is no execution.

        Args:
            args: the module and its arguments.
            kwargs: its keyword arguments.
        """
        try:
            # The flag is what `torch.compiler.is_compiling` returns outside of dynamo, in a tenth of the time.
            if self._is_tracing() or self._compiler._is_compiling_flag or self._backward() != -1 or not args:
                return None
            module = args[0]
            model: Any = self._models.get(id(module))
            try:
                weight = model.owner()._parameters[model.parameter]
            except (AttributeError, KeyError):
                weight = None  # The model is new, or has lost what had its first parameter.
            if weight is None:
                model, weight = self._learn(module)
                if weight is None:
                    return None
            if not self._is_overridden(weight):
                return self._describe(model, weight, args, kwargs)
            # What reads a tensor here is not to be seen by the user's tensor subclasses and modes.
            with self._torch._C.DisableTorchFunction():
                return self._describe(model, weight, args, kwargs)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.describe", error)
            return None

    def _describe(self, model: _Model, weight: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Found:
        # Only plain tensors: the shape of a subclass may be symbolic, or code of the user's.
        batch = args[1] if len(args) > 1 else None
        if type(batch) is not self._tensor:
            every = (*args, *kwargs.values())
            batch = next((argument for argument in every if type(argument) is self._tensor), None)
        try:
            shape = None if batch is None else batch.shape
        except RuntimeError:
            shape = None  # A nested tensor has none; to ask for that takes as long as to ask for the shape.
        training = args[0].training and self._is_grad_enabled()
        # Not always from the device itself: to make one and ask for its type takes long.
        device = "cpu" if weight.is_cpu else weight.device.type
        found = (model.training if training else model.inference)[device].get(shape)
        return found or model.add("training" if training else "inference", device, shape)

    def _learn(self, module: Any) -> tuple[_Model | None, Any]:
        first = _first_parameter(module)
        if first is None:
            return None, None
        owner, parameter, weight = first
        key, models = id(module), self._models
        gone = weakref.ref(module, lambda _gone: models.pop(key, None))
        model = models[key] = _Model(gone, weakref.ref(owner), parameter, self._name(module))
        return model, weight

    def _name(self, module: Any) -> str:
        wrapped = _WRAPPED.get(type(module).__name__)
        inner = None if wrapped is None else getattr(module, wrapped, None)
        if inner is not None:
            return self._name(inner)
        if isinstance(module, self._torch.jit.ScriptModule):
            return str(module.original_name)
        return type(module).__name__


def load_site(api: str) -> Site:
    """Return the site of a load function."""
    return Site("torch", "load", f"load {api}", attributes={"torch.load.api": api}, verdict_of=load_verdict)


def _first_parameter(module: Any) -> tuple[Any, str, Any] | None:
    # Not module.parameters(): it needs modules that can be hashed.
    for name, parameter in module._parameters.items():
        if parameter is not None:
            return module, name, parameter
    for child in module._modules.values():
        found = None if child is None else _first_parameter(child)
        if found is not None:
            return found
    return None
