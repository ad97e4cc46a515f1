"""Paths that WASI refused a guest: security events of the execution that asked for them."""

from __future__ import annotations

from collections.abc import Sequence

from sandscope.instrumentation import (
    SECURITY,
    SECURITY_TYPE,
    SECURITY_VIOLATIONS,
    Recorder,
    Value,
    current_execution,
)
from sandscope_instrumentation_wasmtime._evidence._capabilities import CAPABILITY
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID
from sandscope_instrumentation_wasmtime._probe._probe_memory import Denial

CAUSE = "sv_path_denied"
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "wasmtime"}
_COUNTED: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "call", "sandbox.verdict.cause": CAUSE}


def record(recorder: Recorder, denials: Sequence[Denial], total: int, sandbox: int | None) -> None:
    """Record denials, in the trace of the current context.

    Args:
        recorder: of the instrumentation.
        denials: those that get a log record and an event each.
        total: how many are counted.
        sandbox: the store's number, if it is known.
    """
    execution = current_execution()
    about = dict(_RUNTIME)
    if sandbox is not None:
        about[SANDBOX_ID] = sandbox
    if execution is not None:
        about |= execution.site.attributes
    for denial in denials:
        attributes: dict[str, Value] = {
            **about,
            SECURITY_TYPE: "sandbox_violation",
            "sandbox.violation.type": CAUSE,
            "sandbox.violation.action": "denied",
            "sandbox.violation.resource": denial.path.decode("utf-8", "replace"),
            CAPABILITY: "filesystem",
            "wasm.wasi.function": denial.function,
            "wasm.wasi.errno": denial.errno,
        }
        recorder.log(SECURITY, f"{denial.function}: {CAUSE}", severity="WARN", attributes=attributes)
        if execution is not None:
            execution.add_event(SECURITY, attributes)
    if total:
        recorder.measure(SECURITY_VIOLATIONS, total, _COUNTED)
