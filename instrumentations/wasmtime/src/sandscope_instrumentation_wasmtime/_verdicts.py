"""The verdict on what the engine raised: by the trap's code, else by the class, else by its words."""

from __future__ import annotations

import re
from typing import Any, Literal

from sandscope.instrumentation import MISSING_EVIDENCE, OK, Verdict
from sandscope_instrumentation_wasmtime._evidence._traps import (
    BY_CODE,
    BY_WORDS,
    COMPONENT_VALUE,
    EXCEPTION,
    MEMORY_BOUNDS,
    TABLE_BOUNDS,
)

HOST_ERROR = Verdict("IE", "host", "ie_host_error")
EXIT_CODE = Verdict("RE", "guest", "re_exit_code")
UNKNOWN_IMPORT = Verdict("SV", "engine", "sv_unknown_import")

FAILURES = {
    MEMORY_BOUNDS: Verdict("RE", "guest", "re_memory_bounds"),
    TABLE_BOUNDS: Verdict("RE", "guest", "re_table_bounds"),
}
"""What an access out of bounds is to a user who calls it no violation."""

_TRAP_WORDS = re.compile(r"^\s*(?:\d+: )?wasm trap: (.+)$", re.MULTILINE)
# Complete messages, without a trap. A command that the linker instantiates inside the call may pass limits.
MESSAGES = (
    (re.compile(r"\s*thrown Wasm exception"), EXCEPTION),
    (
        re.compile(r"memory minimum size of \d+ pages exceeds memory limits"),
        Verdict("MLE", "engine", "mle_store_limit", "memory"),
    ),
    (
        re.compile(r"table minimum size of \d+ elements exceeds table limits"),
        Verdict("MLE", "engine", "mle_store_limit", "table"),
    ),
    (
        re.compile(r"resource limit exceeded: instance count too high at \d+"),
        Verdict("MLE", "engine", "mle_store_limit", "instance"),
    ),
    (
        re.compile(r"resource limit exceeded: memory count too high at \d+"),
        Verdict("MLE", "engine", "mle_store_limit", "memory"),
    ),
    (
        re.compile(r"resource limit exceeded: table count too high at \d+"),
        Verdict("MLE", "engine", "mle_store_limit", "table"),
    ),
    (re.compile(r"(?:string|list) pointer/length out of bounds of memory"), MEMORY_BOUNDS),
    (re.compile(r"converted integer out of range for `char`"), COMPONENT_VALUE),
    (re.compile(r"invalid utf-8 sequence of \d+ bytes from index \d+"), COMPONENT_VALUE),
    (re.compile(r"(?:return|string|list) pointer not aligned"), COMPONENT_VALUE),
    (re.compile(r"\s*unknown handle index \d+$", re.MULTILINE), COMPONENT_VALUE),
    (re.compile(r"\s*unknown import: `[^`\n]*` has not been defined$", re.MULTILINE), UNKNOWN_IMPORT),
    (re.compile(r"too (?:few|many) parameters provided: "), HOST_ERROR),
    (re.compile(r"\s*python exception$", re.MULTILINE), HOST_ERROR),
)
_bounds = "violation"


def judge_bounds(setting: Literal["violation", "failure"]) -> None:
    """Choose what an access out of bounds is from now on."""
    global _bounds  # noqa: PLW0603 -- there is one instrumentation of wasmtime
    _bounds = setting


def verdict_of(error: BaseException) -> Verdict:
    """Return the verdict on a call that ended with an exception.

    Args:
        error: what the engine raised for it; another than wasmtime's is the host's.
    """
    verdict = _verdict_of(error)
    return verdict if _bounds == "violation" else FAILURES.get(verdict, verdict)


def has_code(error: BaseException) -> bool:
    """Return whether it is a trap or an exit that no host function can have made by itself."""
    from wasmtime import ExitTrap, Trap

    if isinstance(error, ExitTrap):
        return hasattr(error, "code")
    return isinstance(error, Trap) and _code_of(error) is not None


def _code_of(trap: Any) -> str | None:
    """Return the name of a trap's code; empty where this version's enumeration lacks it."""
    try:
        code = trap.trap_code
    except ValueError:
        return ""
    return None if code is None else str(code.name)


def _verdict_of(error: BaseException) -> Verdict:
    from wasmtime import ExitTrap, Trap, WasmtimeError

    if isinstance(error, ExitTrap):
        code = getattr(error, "code", None)  # a host function that makes one gives it none
        return HOST_ERROR if code is None else OK if code == 0 else EXIT_CODE
    if isinstance(error, Trap):
        name = _code_of(error)
        return BY_CODE.get(name, MISSING_EVIDENCE) if name else _by_words(error)
    return _by_words(error) if isinstance(error, WasmtimeError) else HOST_ERROR


def _by_words(error: BaseException) -> Verdict:
    message = str(error).rstrip()
    if message.endswith("` has not been defined"):  # after a name that a hostile guest chooses
        return UNKNOWN_IMPORT
    # What comes before the last cause is a backtrace: a hostile guest chooses the names in it.
    cause = message.rpartition("Caused by:")[2]
    trap = _TRAP_WORDS.search(cause)
    if trap is not None:
        return BY_WORDS.get(trap.group(1), MISSING_EVIDENCE)
    return next((verdict for words, verdict in MESSAGES if words.match(cause)), MISSING_EVIDENCE)
