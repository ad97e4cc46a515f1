"""Paths that WASI refused a guest: security events of the execution that asked for them."""

from __future__ import annotations

from collections.abc import Sequence

from sandscope.instrumentation import SECURITY_VIOLATIONS, Execution, Recorder, Value, current_execution
from sandscope_instrumentation_wasmtime._evidence._capabilities import CAPABILITY
from sandscope_instrumentation_wasmtime._evidence._violations import SECURITY
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID
from sandscope_instrumentation_wasmtime._probe._ledger import Denial
from sandscope_instrumentation_wasmtime._probe._syscalls import DENIALS, NAMES

CAUSE = "sv_path_denied"
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "wasmtime"}
_COUNTED: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "call", "sandbox.verdict.cause": CAUSE}


def record(recorder: Recorder, denials: Sequence[Denial], total: int, sandbox: int | None) -> None:
    """Record refusals, in the trace of the current context.

    Args:
        recorder: of the instrumentation.
        denials: those of which more is known than that they were.
        total: how many there were.
        sandbox: the store's number, if it has one.
    """
    execution = current_execution()
    about = _about(execution, sandbox)
    for denial in denials:
        function = NAMES[denial.function] if denial.function < len(NAMES) else "?"
        attributes = {**about, **_attributes(denial, function)}
        recorder.log(SECURITY, f"{function}: {CAUSE}", severity="WARN", attributes=attributes)
        if execution is not None:
            execution.add_event(SECURITY, attributes)
    if total:
        recorder.measure(SECURITY_VIOLATIONS, total, _COUNTED)


def _about(execution: Execution | None, sandbox: int | None) -> dict[str, Value]:
    about = dict(_RUNTIME)
    if sandbox is not None:
        about[SANDBOX_ID] = sandbox
    return about if execution is None else {**about, **execution.site.attributes}


def _attributes(denial: Denial, function: str) -> dict[str, Value]:
    return {
        "sandbox.violation.type": CAUSE,
        "sandbox.violation.action": "denied",
        "sandbox.violation.resource": denial.path.decode("utf-8", "replace"),
        CAPABILITY: "filesystem",
        "wasm.wasi.function": function,
        "wasm.wasi.errno": DENIALS.get(denial.errno, "?"),
    }
