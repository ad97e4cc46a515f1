"""The verdict on an exception of wasmtime: by the trap's code, else by its class, else by its message."""

from __future__ import annotations

import re
from typing import Any, Literal

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Patches, Verdict
from sandscope_instrumentation_wasmtime._evidence._limit_messages import LIMIT_MESSAGES
from sandscope_instrumentation_wasmtime._evidence._traps import (
    BY_CODE,
    BY_MESSAGE,
    COMPONENT_VALUE,
    EXCEPTION,
    MEMORY_BOUNDS,
    TABLE_BOUNDS,
)

HOST_ERROR = Verdict("IE", "host", "ie_host_error")
INVALID_CALL = Verdict("IE", "host", "ie_invalid_call")
LINK = Verdict("IE", "host", "ie_link")
EXIT_CODE = Verdict("RE", "guest", "re_exit_code")
UNKNOWN_IMPORT = Verdict("SV", "engine", "sv_unknown_import")

OUT_OF_BOUNDS_FAILURES = {
    MEMORY_BOUNDS: Verdict("RE", "guest", "re_memory_bounds"),
    TABLE_BOUNDS: Verdict("RE", "guest", "re_table_bounds"),
}
"""Verdicts on accesses out of bounds with the setting ``bounds=failure``."""

_TRAP_MESSAGE = re.compile(r"^\s*(?:\d+: )?wasm trap: (.+)$", re.MULTILINE)
MESSAGES = (  # messages of errors that are not traps
    (re.compile(r"\s*thrown Wasm exception"), EXCEPTION),
    # Of a command module that the linker instantiates during the call.
    *(
        (message.pattern, Verdict("MLE", "engine", "mle_store_limit", message.limit))
        for message in LIMIT_MESSAGES
    ),
    (re.compile(r"(?:string|list) pointer/length out of bounds of memory"), MEMORY_BOUNDS),
    (re.compile(r"converted integer out of range for `char`"), COMPONENT_VALUE),
    (re.compile(r"invalid utf-8 sequence of \d+ bytes from index \d+"), COMPONENT_VALUE),
    (re.compile(r"(?:return|string|list) pointer not aligned"), COMPONENT_VALUE),
    (re.compile(r"\s*unknown handle index \d+$", re.MULTILINE), COMPONENT_VALUE),
    (re.compile(r"\s*unknown import: `[^`\n]*` has not been defined$", re.MULTILINE), UNKNOWN_IMPORT),
    (re.compile(r"too (?:few|many) parameters provided: "), INVALID_CALL),
    (re.compile(r"expected \d+ imports, found \d+"), LINK),
    (re.compile(r"\s*python exception$", re.MULTILINE), HOST_ERROR),
)


class _Bounds:
    """What an access out of bounds is: a violation or a failure."""

    setting: Literal["violation", "failure"] = "violation"


def patch(patches: Patches, bounds: Literal["violation", "failure"]) -> None:
    """Set the verdict on accesses out of bounds, until the patches are undone."""
    patches.replace(_Bounds, "setting", lambda _default: bounds)


def verdict_of(error: BaseException) -> Verdict:
    """Return the verdict on a call that ended with an exception.

    Args:
        error: the exception; one that is not of a class of wasmtime is an error of the host.
    """
    verdict = _verdict_of(error)
    return verdict if _Bounds.setting == "violation" else OUT_OF_BOUNDS_FAILURES.get(verdict, verdict)


def has_code(error: BaseException) -> bool:
    """Return whether it has the code of a trap or exit: only the engine makes such exceptions."""
    from wasmtime import ExitTrap, Trap

    if isinstance(error, ExitTrap):
        return hasattr(error, "code")
    return isinstance(error, Trap) and _code_of(error) is not None


def _code_of(trap: Any) -> str | None:
    """Return the name of a trap's code; empty if the enumeration of this version of wasmtime lacks it."""
    try:
        code = trap.trap_code
    except ValueError:
        return ""
    return None if code is None else str(code.name)


def _verdict_of(error: BaseException) -> Verdict:
    from wasmtime import ExitTrap, Trap, WasmtimeError

    if isinstance(error, ExitTrap):
        code = getattr(error, "code", None)  # missing if a host function made it
        return HOST_ERROR if code is None else OK if code == 0 else EXIT_CODE
    if isinstance(error, Trap):
        name = _code_of(error)
        return BY_CODE.get(name, MISSING_EVIDENCE) if name else _by_message(error)
    return _by_message(error) if isinstance(error, WasmtimeError) else HOST_ERROR


def _by_message(error: BaseException) -> Verdict:
    message = str(error).rstrip()
    if message.endswith("` has not been defined"):  # the name before it is chosen by the guest
        return UNKNOWN_IMPORT
    if message.startswith("incompatible import type for `"):
        return LINK
    # Only the last cause: the backtrace before it contains names that are chosen by the guest.
    cause = message.rpartition("Caused by:")[2]
    trap = _TRAP_MESSAGE.search(cause)
    if trap is not None:
        return BY_MESSAGE.get(trap.group(1), MISSING_EVIDENCE)
    return next((verdict for pattern, verdict in MESSAGES if pattern.match(cause)), MISSING_EVIDENCE)
