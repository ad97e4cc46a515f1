"""The verdict on a call that raised: by the engine's trap code, else by the class, else by its words."""

from __future__ import annotations

import re
import traceback

from sandscope import MISSING_EVIDENCE, OK, Verdict

_EXIT_CODE = Verdict("RE", "runtime", "re_exit_code")
_HOST_ERROR = Verdict("IE", "judge", "ie_host_error")
_ARITHMETIC = Verdict("RE", "runtime", "re_arithmetic")
_REFERENCE = Verdict("RE", "runtime", "re_reference")
_EXCEPTION = Verdict("RE", "runtime", "re_exception")
_COMPONENT = Verdict("SV", "kernel", "sv_component_boundary")

# The name of the trap's code, the engine's words for it where there is no code (components), the verdict.
_TRAPS = (
    ("OUT_OF_FUEL", "all fuel consumed by WebAssembly", Verdict("TLE", "kernel", "tle_fuel", "fuel")),
    ("INTERRUPT", "interrupt", Verdict("TLE", "kernel", "tle_epoch", "epoch")),
    ("STACK_OVERFLOW", "call stack exhausted", Verdict("MLE", "kernel", "mle_stack", "stack")),
    (
        "ALLOCATION_TOO_LARGE",
        "allocation size too large",
        Verdict("MLE", "kernel", "mle_allocation", "memory"),
    ),
    ("UNREACHABLE", "wasm `unreachable` instruction executed", Verdict("RE", "runtime", "re_unreachable")),
    ("INTEGER_OVERFLOW", "integer overflow", _ARITHMETIC),
    ("INTEGER_DIVISION_BY_ZERO", "integer divide by zero", _ARITHMETIC),
    ("BAD_CONVERSION_TO_INTEGER", "invalid conversion to integer", _ARITHMETIC),
    ("NULL_REFERENCE", "null reference", _REFERENCE),
    ("CAST_FAILURE", "cast failure", _REFERENCE),
    ("ARRAY_OUT_OF_BOUNDS", "out of bounds array access", _REFERENCE),
    ("UNCAUGHT_EXCEPTION", "uncaught exception", _EXCEPTION),
    ("MEMORY_OUT_OF_BOUNDS", "out of bounds memory access", Verdict("SV", "kernel", "sv_memory_bounds")),
    (
        "TABLE_OUT_OF_BOUNDS",
        "undefined element: out of bounds table access",
        Verdict("SV", "kernel", "sv_table_bounds"),
    ),
    ("INDIRECT_CALL_TO_NULL", "uninitialized element", Verdict("SV", "kernel", "sv_indirect_call")),
    ("BAD_SIGNATURE", "indirect call type mismatch", Verdict("SV", "kernel", "sv_indirect_call")),
    ("HEAP_MISALIGNED", "unaligned atomic", Verdict("SV", "kernel", "sv_misaligned")),
    ("CANNOT_ENTER_COMPONENT", "cannot enter component instance", _COMPONENT),
    ("CANNOT_LEAVE_COMPONENT", "cannot leave component instance", _COMPONENT),
)
_BY_CODE = {code: verdict for code, _, verdict in _TRAPS}
_BY_WORDS = {words: verdict for _, words, verdict in _TRAPS}

_TRAP_WORDS = re.compile(r"^\s*(?:\d+: )?wasm trap: (.+)$", re.MULTILINE)
# Complete messages, without a trap. A command that the linker instantiates inside the call may pass limits.
_MESSAGES = (
    (re.compile(r"\s*thrown Wasm exception"), _EXCEPTION),
    (
        re.compile(r"memory minimum size of \d+ pages exceeds memory limits"),
        Verdict("MLE", "kernel", "mle_store_limit", "memory"),
    ),
    (
        re.compile(r"table minimum size of \d+ elements exceeds table limits"),
        Verdict("MLE", "kernel", "mle_store_limit", "table"),
    ),
    (re.compile(r"too (?:few|many) parameters provided: "), _HOST_ERROR),
    (re.compile(r"python exception$"), _HOST_ERROR),
)


def verdict_of(error: BaseException) -> Verdict:
    """Return the verdict on a call that ended with an exception.

    Args:
        error: what the call raised.
    """
    from wasmtime import ExitTrap, Trap, WasmtimeError

    if isinstance(error, ExitTrap):
        return OK if error.code == 0 else _EXIT_CODE
    if isinstance(error, Trap):
        try:
            code = error.trap_code
        except ValueError:  # an engine's trap that this version's enumeration lacks
            return _by_words(error)
        if code is not None:
            return _BY_CODE.get(code.name, MISSING_EVIDENCE)
    elif not isinstance(error, WasmtimeError):
        return _HOST_ERROR
    return _HOST_ERROR if _raised_by_host_function(error) else _by_words(error)


def _by_words(error: BaseException) -> Verdict:
    # What comes before the last cause is a backtrace: a hostile guest chooses the names in it.
    cause = str(error).rpartition("Caused by:")[2]
    trap = _TRAP_WORDS.search(cause)
    if trap is not None:
        return _BY_WORDS.get(trap.group(1), MISSING_EVIDENCE)
    return next((verdict for words, verdict in _MESSAGES if words.match(cause)), MISSING_EVIDENCE)


def _raised_by_host_function(error: BaseException) -> bool:
    """Tell wasmtime's own exception from one of the same class that a host function raised."""
    return any(
        frame.f_code.co_name == "trampoline" and frame.f_globals.get("__name__") == "wasmtime._func"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )
