"""The models that have been called, and the sites of their calls."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from sandscope.instrumentation import Site, Value
from sandscope_instrumentation_torch._names import is_exported, model_name
from sandscope_instrumentation_torch._verdicts import call_verdict

_MOST_SHAPES = 16
"""Input shapes of one model that have a site of their own: sites are kept, and a program may use any number."""

_OBSERVERS = "torch.ao.quantization."
"""Where the modules are that measure weights to quantise them."""

Shape = tuple[int, ...]
Found = tuple[Site, "dict[str, Value] | None"]
"""The site of a call, and the attributes that belong to this call only."""
Place = tuple[str, str]
"""A device and a dtype; empty if they are unknown."""


class _Sites(dict["Shape | None", Found]):
    """The sites of one model's calls of one operation in one place, by the input's shape."""

    def __init__(self, operation: str, name: str, place: Place, *, current: bool) -> None:
        super().__init__()
        self._operation, self._name, self._current = operation, name, current
        self._attributes: dict[str, Value] = {"torch.module": name}
        for key, value in zip(("torch.device", "torch.dtype"), place, strict=True):
            if value:
                self._attributes[key] = value

    def __missing__(self, shape: Shape | None) -> Found:
        """Make a site; beyond the limit, the shape becomes an attribute of the call."""
        attributes = {} if shape is None else _shape_attributes(tuple(shape))
        if shape is not None and len(self) >= _MOST_SHAPES:
            return self[None][0], attributes
        found = self[shape] = (
            Site(
                "torch",
                self._operation,
                f"{self._operation} {self._name}",
                attributes={**self._attributes, **attributes},
                verdict_of=call_verdict,
                current=self._current,
            ),
            None,
        )
        return found


def _shape_attributes(shape: Shape) -> dict[str, Value]:
    attributes: dict[str, Value] = {"torch.input.shape": shape}
    if len(shape) > 1:
        attributes["torch.batch.size"] = shape[0]
    return attributes


class _Places(dict[Any, _Sites]):
    """The sites of one model's calls of one operation, by place: a dtype on the CPU, else device and dtype."""

    def __init__(self, operation: str, name: str, *, current: bool) -> None:
        super().__init__()
        self._operation, self._name, self._current = operation, name, current

    def __missing__(self, key: Any) -> _Sites:
        device, dtype = key if isinstance(key, tuple) else ("cpu", key)
        place = (device, "" if dtype is None else str(dtype).removeprefix("torch."))
        sites = self[key] = _Sites(self._operation, self._name, place, current=self._current)
        return sites


class Model:
    """A model that has been called.

    Attributes:
        gone: a weak reference to the model, whose callback forgets the model when it is freed.
        owner: returns the module that holds the model's first parameter (the model or a module inside it), or
            None once that module is freed. None if the model has no parameters.
        parameter: the name of that parameter. torch.utils.swap_tensors refuses a parameter that has a weak
            reference, so there is none.
        trained: the same two for a parameter that required gradients when it was last looked for.
        trains: whether the model's calls can be training at all: an exported or a frozen model has no training mode.
        inference: the sites of inference calls.
        training: the sites of training calls.
    """

    __slots__ = ("gone", "inference", "owner", "parameter", "trained", "training", "trains")

    def __init__(self, gone: weakref.ref[Any], name: str, *, trains: bool, followed: bool) -> None:
        self.gone = gone
        self.owner: Callable[[], Any] | None = None
        self.parameter = ""
        self.trained: tuple[Callable[[], Any], str] | None = None
        self.trains = trains
        self.inference = _Places("inference", name, current=not followed)
        self.training = _Places("training", name, current=not followed)

    def is_trained(self, module: Any) -> bool:
        """Return whether a parameter of the model requires gradients."""
        if self.trained is not None:
            owner, name = self.trained
            parameter = getattr(owner(), "_parameters", {}).get(name)
            if parameter is not None and parameter.requires_grad:
                return True
        for owner, name, parameter in parameters(module):
            if parameter.requires_grad:
                self.trained = weakref.ref(owner), name
                return True
        return False


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
        """Remember a module; return its model and its first parameter if it has any, or None if it is no model."""
        if not hasattr(module, "_parameters"):
            return None  # `Module.__init__` was not called: torch is about to say so.
        first = next(parameters(module), None)
        if first is None and not _has_weights(self._torch, module):
            return None
        key, known = id(module), self.known
        gone = weakref.ref(module, lambda _gone: known.pop(key, None))
        model = known[key] = Model(
            gone,
            model_name(self._torch, module),
            trains=hasattr(module, "training") and not is_exported(self._torch, module),
            followed=_is_followed(module.forward),
        )
        if first is None:
            return model, None
        owner, model.parameter, parameter = first
        model.owner = weakref.ref(owner)
        return model, parameter


def parameters(module: Any) -> Iterator[tuple[Any, str, Any]]:
    """Return the parameters of a module and of those inside it, each with the module that holds it and its name.

    Not `Module.parameters`: it requires hashable modules.
    """
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield module, name, parameter
    for child in module._modules.values():
        if child is not None:
            yield from parameters(child)


def is_model(torch: Any, module: Any) -> bool:
    """Return whether a module is a model: whether it has weights."""
    if not hasattr(module, "_parameters"):
        return False  # `Module.__init__` was not called.
    return next(parameters(module), None) is not None or _has_weights(torch, module)


def _has_weights(torch: Any, module: Any) -> bool:
    """Return whether a module without parameters has other tensors: packed, as buffers, or in compiled code.

    The tensors of a loss are the weights of classes.
    """
    if isinstance(module, torch.nn.modules.loss._Loss) or type(module).__module__.startswith(_OBSERVERS):
        return False
    if isinstance(module, torch.jit.ScriptModule):
        return True
    own = vars(module)
    if "_packed_params" in own or any(buffer is not None for buffer in own["_buffers"].values()):
        return True
    if any(isinstance(value, torch.Tensor) for value in own.values()):
        return True
    return any(child is not None and _has_weights(torch, child) for child in own["_modules"].values())


def _is_followed(forward: Any) -> bool:
    """Return whether a forward runs after its call has returned."""
    kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(is_kind(forward) for is_kind in kinds)
