"""What is known of a call before it starts: the model's name, its sites, where its weights are."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from sandscope import Site, Value, report_error
from sandscope_instrumentation_torch._verdict import call_verdict, load_verdict

_WRAPPED = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
}


class _Model(NamedTuple):
    module: weakref.ref[Any]
    owner: weakref.ref[Any]
    parameter: str
    inference: Site
    training: Site

    def weight(self) -> Any:
        """Return the first parameter as it is now, or None if the module has lost it.

        A weak reference to the parameter itself would make torch.utils.swap_tensors refuse it.
        """
        owner: Any = self.owner()
        if owner is None or self.parameter not in owner._parameters:
            return None
        return owner._parameters[self.parameter]


class CallSites:
    """The sites of every model seen, kept beside the models: an attribute on them would be pickled."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        # By identity: a module's own __eq__ and __hash__ may be anything. A module that dies takes its
        # entry with it before its identity can be another's.
        self._models: dict[int, _Model] = {}

    def describe(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Site | None, dict[str, Value]]:
        """Return the site of a call and its attributes; no site if the module has no parameters."""
        try:
            # What reads a tensor here is not seen by the user's tensor subclasses and modes.
            with self._torch._C.DisableTorchFunction():
                found = self._known(module) or self._learn(module)
                if found is None:
                    return None, {}
                model, weight = found
                attributes: dict[str, Value] = {"torch.device": weight.device.type}
                shape = self._input_shape((*args, *kwargs.values()))
                if shape is not None:
                    attributes["torch.input.shape"] = shape
            training = module.training and self._torch.is_grad_enabled()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.describe", error)
            return None, {}
        return model.training if training else model.inference, attributes

    def _known(self, module: Any) -> tuple[_Model, Any] | None:
        model = self._models.get(id(module))
        weight = None if model is None else model.weight()
        return None if model is None or weight is None else (model, weight)

    def _learn(self, module: Any) -> tuple[_Model, Any] | None:
        first = _first_parameter(module)
        if first is None:
            return None
        owner, parameter, weight = first
        name, key, models = self._name(module), id(module), self._models
        model = models[key] = _Model(
            weakref.ref(module, lambda _gone: models.pop(key, None)),
            weakref.ref(owner),
            parameter,
            _call_site("inference", name),
            _call_site("training", name),
        )
        return model, weight

    def _name(self, module: Any) -> str:
        wrapped = _WRAPPED.get(type(module).__name__)
        inner = None if wrapped is None else getattr(module, wrapped, None)
        if inner is not None:
            return self._name(inner)
        if isinstance(module, self._torch.jit.ScriptModule):
            return str(module.original_name)
        return type(module).__name__

    def _input_shape(self, arguments: tuple[Any, ...]) -> tuple[int, ...] | None:
        # Only plain tensors: the shape of a subclass may be symbolic, or code of the user's.
        for argument in arguments:
            if type(argument) is self._torch.Tensor and not argument.is_nested:
                return tuple(argument.shape)
        return None


def load_site(api: str) -> Site:
    """Return the site of a load function."""
    return Site("torch", "load", f"load {api}", attributes={"torch.load.api": api}, verdict_of=load_verdict)


def _call_site(operation: str, name: str) -> Site:
    return Site(
        "torch", operation, f"{operation} {name}", attributes={"torch.module": name}, verdict_of=call_verdict
    )


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
