"""What is patched."""

from __future__ import annotations

import sys
from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_torch._call import COMPILED, ThreadState, record_calls
from sandscope_instrumentation_torch._compiles import record_compiles
from sandscope_instrumentation_torch._generation import Generations
from sandscope_instrumentation_torch._loads import Loads
from sandscope_instrumentation_torch._memory import observe_memory


def patch_torch(torch: Any, patches: Patches, recorder: Recorder, loads: Loads, state: ThreadState) -> None:
    """Record the calls of modules, and the loads by torch's own functions; report the memory."""
    observe_memory(patches)
    patches.replace(torch.nn.Module, COMPILED, record_calls(torch, recorder, state))
    patches.replace(torch.serialization, "load", loads.wrapper_of("torch"))
    patches.replace(torch.jit._serialization, "load", loads.wrapper_of("torch.jit"))
    patches.replace(torch.export, "load", loads.wrapper_of("torch.export"))
    # The same function under its public name, so that it still pickles by reference.
    patches.replace(torch, "load", lambda _original: torch.serialization.load)
    patches.replace(torch.jit, "load", lambda _original: torch.jit._serialization.load)


def patch_compiler(callback: Any, patches: Patches, recorder: Recorder) -> None:
    """Record the compilations of torch's compiler, when the program imports it."""
    patches.replace(callback.CompilationCallbackHandler, "install_callbacks", record_compiles(recorder))


def patch_generation(utils: Any, patches: Patches, recorder: Recorder, state: ThreadState) -> None:
    """Record the generations by transformers, when the program imports what generates."""
    generations = Generations(sys.modules["torch"], recorder, state)
    patches.replace(utils.GenerationMixin, "generate", generations.wrap_generate)
    patches.replace(utils.GenerationMixin, "_has_unfinished_sequences", generations.wrap_unfinished)
    patches.replace(utils.StoppingCriteriaList, "__call__", generations.wrap_criteria)


def patch_loads(module: Any, patches: Patches, loads: Loads) -> None:
    """Record the loads by another library's functions."""
    if module.__name__ == "safetensors":
        patches.replace(module, "safe_open", loads.wrap_class("safetensors"))
    elif module.__name__ == "safetensors.torch":
        patches.replace(module, "load_file", loads.wrapper_of("safetensors"))
    elif module.__name__ == "transformers.modeling_utils":
        patches.replace(module.PreTrainedModel, "from_pretrained", loads.wrap_class_method("transformers"))
