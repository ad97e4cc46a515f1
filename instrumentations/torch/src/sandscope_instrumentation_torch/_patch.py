"""What is patched."""

from __future__ import annotations

import sys
from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_torch._calls._call import COMPILED, Calls, ThreadState
from sandscope_instrumentation_torch._compiler._compiled_functions import CompiledFunctions
from sandscope_instrumentation_torch._compiler._compiles import observe_cache, record_compiles
from sandscope_instrumentation_torch._generation._generation import Generations
from sandscope_instrumentation_torch._loading._loads import Loads
from sandscope_instrumentation_torch._measures._gpu import observe_gpus
from sandscope_instrumentation_torch._measures._memory import observe_memory
from sandscope_instrumentation_torch._training._training import Training
from sandscope_instrumentation_torch._training._training_hooks import (
    watch_optimizers,
    wrap_engine,
    wrap_next,
    wrap_scaler,
)


def patch_torch(torch: Any, patches: Patches, calls: Calls, training: Training) -> None:
    """Record the calls of modules; report the memory and the steps of a training."""
    observe_memory(patches)
    observe_gpus(patches)
    patches.replace(torch.nn.Module, COMPILED, calls.attribute)
    patches.replace(torch.autograd, "_engine_run_backward", wrap_engine(torch, training))
    watch_optimizers(torch, training, patches)
    patches.replace(torch.amp.GradScaler, "step", wrap_scaler(torch, training))
    patches.replace(torch.utils.data.dataloader._BaseDataLoaderIter, "__next__", wrap_next(torch, training))


def patch_own_loads(torch: Any, patches: Patches, loads: Loads) -> None:
    """Record the loads by torch's own functions."""
    patches.replace(torch.serialization, "load", loads.wrapper_of("torch"))
    patches.replace(torch.jit._serialization, "load", loads.wrapper_of("torch.jit"))
    patches.replace(torch.export, "load", loads.wrapper_of("torch.export"))
    # The same function under its public name, so that it still pickles by reference.
    patches.replace(torch, "load", lambda _original: torch.serialization.load)
    patches.replace(torch.jit, "load", lambda _original: torch.jit._serialization.load)


def patch_compiler(callback: Any, patches: Patches, recorder: Recorder) -> None:
    """Record the compilations of torch's compiler, when the program imports it; report the size of its cache."""
    observe_cache(patches)
    patches.replace(callback.CompilationCallbackHandler, "install_callbacks", record_compiles(recorder))


def patch_compiled_functions(eval_frame: Any, patches: Patches, functions: CompiledFunctions) -> None:
    """Record the calls of the functions that torch.compile makes from now on."""
    patches.replace(eval_frame._TorchDynamoContext, "__call__", functions.wrap_context)


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
