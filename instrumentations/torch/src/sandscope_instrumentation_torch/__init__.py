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

``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider``, and each setting of
`TorchSettings` by its name; by default, environment variables such as ``SANDSCOPE_TORCH_DIGEST`` are read.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sandscope.instrumentation import Patches, Recorder, RuntimeInstrumentor, Scope
from sandscope_instrumentation_torch._calls._call import ThreadState, record_calls
from sandscope_instrumentation_torch._compiler._compiled_functions import CompiledFunctions
from sandscope_instrumentation_torch._loading._loads import Loads
from sandscope_instrumentation_torch._patch import (
    patch_compiled_functions,
    patch_compiler,
    patch_generation,
    patch_loads,
    patch_own_loads,
    patch_torch,
)
from sandscope_instrumentation_torch._settings import TorchSettings
from sandscope_instrumentation_torch._training._training import Training

__all__ = ["TorchInstrumentor", "__version__"]

__version__ = "0.1.0"


class TorchInstrumentor(RuntimeInstrumentor):
    """Records each root module call and each model load as an execution."""

    runtime = "torch"
    scope = Scope(__name__, __version__)
    supported = ("torch >= 2.4, < 3",)

    submodules = (
        "torch._dynamo.callback",
        "torch._dynamo.eval_frame",
        "safetensors",
        "safetensors.torch",
        "transformers.modeling_utils",
        "transformers.generation.utils",
    )
    _settings = TorchSettings()
    _loads: Loads | None = None
    _functions: CompiledFunctions | None = None
    _state = ThreadState()

    def _instrument(self, **kwargs: Any) -> None:
        self._settings = TorchSettings.read(kwargs)
        self._loads, self._functions, self._state = None, None, ThreadState()
        super()._instrument(**kwargs)

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        # One object for all modules: a load of transformers reads files with the functions of the others.
        self._loads = self._loads or Loads(recorder, sha256=self._settings.digest)
        if module.__name__ == self.runtime:
            training = Training(recorder, spans=self._settings.training_spans)
            calls = record_calls(module, recorder, self._state, training, self._settings)
            self._functions = CompiledFunctions(module, patches, self._state, calls.record, training)
            patch_torch(module, patches, calls, training)
            patch_own_loads(module, patches, self._loads)
        elif module.__name__ == "torch._dynamo.callback":
            patch_compiler(module, patches, recorder)
        elif module.__name__ == "torch._dynamo.eval_frame":
            if self._functions is not None:
                patch_compiled_functions(module, patches, self._functions)
        elif module.__name__ == "transformers.generation.utils":
            patch_generation(module, patches, recorder, self._state)
        else:
            patch_loads(module, patches, self._loads)
