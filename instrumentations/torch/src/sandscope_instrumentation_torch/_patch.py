"""What is patched."""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_torch._call import COMPILED, ThreadState, record_calls
from sandscope_instrumentation_torch._loads import wrap_load


def patch_torch(torch: Any, patches: Patches, recorder: Recorder) -> None:
    """Record the calls of modules, and the loads by torch's own functions."""
    patches.replace(torch.nn.Module, COMPILED, record_calls(torch, recorder, ThreadState()))
    wrapper_of = wrap_load(torch, recorder)
    patches.replace(torch.serialization, "load", wrapper_of("torch"))
    patches.replace(torch.jit._serialization, "load", wrapper_of("torch.jit"))
    patches.replace(torch.export, "load", wrapper_of("torch.export"))
    # The same function under its public name, so that it still pickles by reference.
    patches.replace(torch, "load", lambda _original: torch.serialization.load)
    patches.replace(torch.jit, "load", lambda _original: torch.jit._serialization.load)
