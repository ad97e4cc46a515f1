"""OpenTelemetry for PyTorch: root module calls and model loading.

Usage::

    from sandscope_instrumentation_torch import TorchInstrumentor

    TorchInstrumentor().instrument()  # before or after `import torch`; it never imports torch itself

    import torch

    model = torch.load("model.pt", weights_only=False)  # span "load torch"
    with torch.no_grad():
        model(batch)  # span "inference Net"

Only the outermost module call of a thread is an execution; calls of the layers inside it are not. The
operation is ``training`` if the module is in training mode and gradients are enabled, else ``inference``.
Modules without parameters, such as losses and activations, are not models and are not recorded.

``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider``; there are no
other options.
"""

from __future__ import annotations

from types import ModuleType

from sandscope.instrumentation import Patches, Recorder, RuntimeInstrumentor, Scope
from sandscope_instrumentation_torch._patch import patch_torch

__all__ = ["TorchInstrumentor", "__version__"]

__version__ = "0.1.0"


class TorchInstrumentor(RuntimeInstrumentor):
    """Records each root module call and each model load as an execution."""

    runtime = "torch"
    scope = Scope(__name__, __version__)
    supported = ("torch >= 2.4, < 3",)

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        patch_torch(module, patches, recorder)
