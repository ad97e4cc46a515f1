"""The name of a model: the class that its author wrote, not one that a library put around it or derived from it."""

from __future__ import annotations

from typing import Any

_LIBRARIES = ("torch", "peft")
_WRAPPED = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "PeftModel": "base_model",
    "BaseTuner": "model",
}
"""Classes of these libraries that hold another model, and the attribute that is the model."""
_MIXED_IN = ("FSDPModule", "DDP")
"""Classes of torch that stand before the model's own class among the bases of a class that torch makes."""


def model_name(torch: Any, module: Any) -> str:
    """Return the class of a model.

    Args:
        torch: the module.
        module: the model.
    """
    for kind in type(module).__mro__:
        wrapped = _WRAPPED.get(kind.__name__)
        if wrapped is not None and kind.__module__.partition(".")[0] in _LIBRARIES:
            inner = getattr(module, wrapped, None)
            if isinstance(inner, torch.nn.Module):
                return model_name(torch, inner)
    if isinstance(module, torch.jit.ScriptModule):
        return str(module.original_name)
    if is_exported(torch, module):
        return _exported_name(module) or type(module).__name__
    return _own_class(module).__name__


def is_exported(torch: Any, module: Any) -> bool:
    """Return whether a model comes from ``torch.export``: torch gives each of them a ``train()`` that raises."""
    return isinstance(module, torch.fx.GraphModule) and "train" in vars(module)


def _exported_name(module: Any) -> str | None:
    """Return the class of the exported model: each of its operations says through which modules it was called."""
    for node in module.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            if path == "":
                name = kind if isinstance(kind, str) else kind.__name__
                return str(name).rpartition(".")[2]
    return None


def _own_class(module: Any) -> type:
    kind = type(module)
    while True:
        bases = kind.__bases__
        if len(bases) > 1 and bases[0].__name__ in _MIXED_IN and bases[0].__module__.startswith("torch."):
            kind = bases[1]
        elif kind.__name__ == f"Parametrized{bases[0].__name__}" and "parametrizations" in module._modules:
            kind = bases[0]
        else:
            return kind
