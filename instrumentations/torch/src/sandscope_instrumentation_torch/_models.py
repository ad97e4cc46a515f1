"""The models that have been called, and the sites of their calls."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Site, Value
from sandscope_instrumentation_torch._verdicts import call_verdict

_WRAPPED = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
}

_MOST_SHAPES = 16
"""Input shapes of one model that have a site of their own: sites are kept, and a program may use any number."""

_SHAPE = "torch.input.shape"

Shape = tuple[int, ...]
Found = tuple[Site, "dict[str, Value] | None"]
"""The site of a call, and the attributes that belong to this call only."""


class _Sites(dict["Shape | None", Found]):
    """The sites of one model's calls of one operation on one device, by the input's shape."""

    def __init__(self, operation: str, model: str, device: str) -> None:
        super().__init__()
        self._operation, self._model, self._device = operation, model, device

    def __missing__(self, shape: Shape | None) -> Found:
        """Make a site; beyond the limit, the shape becomes an attribute of the call."""
        if shape is not None and len(self) >= _MOST_SHAPES:
            return self[None][0], {_SHAPE: tuple(shape)}
        attributes: dict[str, Value] = {"torch.module": self._model, "torch.device": self._device}
        if shape is not None:
            attributes[_SHAPE] = tuple(shape)
        name = f"{self._operation} {self._model}"
        site = Site("torch", self._operation, name, attributes=attributes, verdict_of=call_verdict)
        found = self[shape] = site, None
        return found


class _Devices(dict[str, _Sites]):
    """The sites of one model's calls of one operation, by its device."""

    def __init__(self, operation: str, model: str) -> None:
        super().__init__()
        self._operation, self._model = operation, model

    def __missing__(self, device: str) -> _Sites:
        sites = self[device] = _Sites(self._operation, self._model, device)
        return sites


class Model:
    """A model that has been called.

    Attributes:
        gone: a weak reference to the model, whose callback forgets the model when it is freed.
        owner: returns the module that holds the model's first parameter (the model or a module inside it), or
            None once that module is freed.
        parameter: the name of that parameter. torch.utils.swap_tensors refuses a parameter that has a weak
            reference, so there is none.
        inference: the sites of inference calls, by device and input shape.
        training: the sites of training calls, likewise.
    """

    __slots__ = ("gone", "inference", "owner", "parameter", "training")

    def __init__(self, gone: weakref.ref[Any], owner: Callable[[], Any], parameter: str, name: str) -> None:
        self.gone = gone
        self.owner = owner
        self.parameter = parameter
        self.inference = _Devices("inference", name)
        self.training = _Devices("training", name)


class Models:
    """All models that have been called. An attribute of the models themselves would be pickled with them.

    Attributes:
        known: models by their ``id()``, because a module may define ``__eq__`` and ``__hash__``. The entry of a
            module is removed when the module is freed, before another object can have the same ``id()``.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.known: dict[int, Model] = {}

    def learn(self, module: Any) -> tuple[Model, Any] | None:
        """Remember a module; return its model and its first parameter, or None if it has no parameters."""
        first = _first_parameter(module)
        if first is None:
            return None
        owner, parameter, weight = first
        key, known = id(module), self.known
        gone = weakref.ref(module, lambda _gone: known.pop(key, None))
        model = known[key] = Model(gone, weakref.ref(owner), parameter, self._name(module))
        return model, weight

    def _name(self, module: Any) -> str:
        wrapped = _WRAPPED.get(type(module).__name__)
        inner = None if wrapped is None else getattr(module, wrapped, None)
        if inner is not None:
            return self._name(inner)
        if isinstance(module, self._torch.jit.ScriptModule):
            return str(module.original_name)
        return type(module).__name__


def _first_parameter(module: Any) -> tuple[Any, str, Any] | None:
    # Not module.parameters(): it requires hashable modules.
    for name, parameter in module._parameters.items():
        if parameter is not None:
            return module, name, parameter
    for child in module._modules.values():
        found = None if child is None else _first_parameter(child)
        if found is not None:
            return found
    return None
