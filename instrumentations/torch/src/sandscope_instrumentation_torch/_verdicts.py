"""Verdicts from the exception that ended a call or a load; the evidence is its class and torch's message."""

from __future__ import annotations

import pickle
import sys
import zipfile

from sandscope.instrumentation import Verdict

_EXCEPTION = Verdict("RE", "guest", "re_python_exception")
_FILE_MISSING = Verdict("RE", "host", "re_file_missing")
_FILE_UNREADABLE = Verdict("RE", "guest", "re_file_unreadable")
_INTERRUPTED = Verdict("IE", "host", "ie_interrupted")
_CUDA_MEMORY = Verdict("MLE", "engine", "mle_cuda_oom", "memory")
_CPU_MEMORY = Verdict("MLE", "engine", "mle_cpu_allocator", "memory")
_PYTHON_MEMORY = Verdict("MLE", "engine", "mle_memory_error", "memory")
UNSAFE_PICKLE = Verdict("SV", "engine", "sv_unsafe_pickle")
_UNSAFE_SCRIPT = Verdict("SV", "engine", "sv_unsafe_script")

_CPU_MESSAGES = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
_CUDA_MESSAGES = ("CUDA out of memory", "CUDA error: out of memory")
_SCRIPT_MESSAGE = "Cannot use ``weights_only=True`` with TorchScript archives"
_PICKLE_MESSAGE = "Weights only load failed"
# An unreadable file gives the same message: only these parts of it show that an object was refused.
_REFUSALS = (
    "unsupported GLOBAL",
    "Unsupported global",
    "unrecognized function",
    "Can only create new object for",
    "Can only build ",
)
_UNREADABLE_MESSAGES = (
    "PytorchStreamReader failed",
    "We ran into an error when deserializing the saved file",
)


def call_verdict(error: BaseException) -> Verdict:
    """Return the verdict for an exception out of a module call."""
    if not isinstance(error, Exception):
        return _INTERRUPTED  # KeyboardInterrupt, SystemExit, a cancelled task
    if isinstance(error, MemoryError):
        return _PYTHON_MEMORY
    if isinstance(error, sys.modules["torch"].cuda.OutOfMemoryError):
        return _CUDA_MEMORY
    if isinstance(error, RuntimeError):
        message = str(error)
        if _has(message, _CPU_MESSAGES):
            return _CPU_MEMORY
        if _has(message, _CUDA_MESSAGES):
            return _CUDA_MEMORY
    return _EXCEPTION


def load_verdict(error: BaseException) -> Verdict:
    """Return the verdict for an exception out of a load."""
    verdict = call_verdict(error)
    if verdict is not _EXCEPTION:
        return verdict
    message = str(error)
    if isinstance(error, pickle.UnpicklingError):
        refused = is_refusal(error) and _has(message, _REFUSALS)
        return UNSAFE_PICKLE if refused else _FILE_UNREADABLE
    if isinstance(error, RuntimeError) and _SCRIPT_MESSAGE in message:
        return _UNSAFE_SCRIPT
    if isinstance(error, FileNotFoundError) or (
        isinstance(error, ValueError)
        and message.startswith("The provided filename")
        and message.endswith("does not exist")
    ):
        return _FILE_MISSING
    if (
        isinstance(error, (EOFError, zipfile.BadZipFile))
        or type(error).__name__ == "SafetensorError"
        or (isinstance(error, RuntimeError) and _has(message, _UNREADABLE_MESSAGES))
    ):
        return _FILE_UNREADABLE
    return _EXCEPTION


def is_refusal(error: BaseException) -> bool:
    """Return whether torch did not unpickle a file because it accepts only weights, or because it is unreadable."""
    return _PICKLE_MESSAGE in str(error)


def _has(message: str, parts: tuple[str, ...]) -> bool:
    return any(part in message for part in parts)
