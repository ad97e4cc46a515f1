"""Security violations and limits that were reached: log records, and events of the call's span.

For a call, the recorder counts them by the verdict. Those outside of calls are counted here: failed
instantiations, and memories and tables that the host could not grow.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import (
    LIMIT_VIOLATIONS,
    SECURITY_VIOLATIONS,
    Execution,
    Patches,
    Recorder,
    Value,
    Verdict,
)
from sandscope_instrumentation_wasmtime._after_call import after_failure
from sandscope_instrumentation_wasmtime._evidence._capabilities import CAPABILITY, capability_of
from sandscope_instrumentation_wasmtime._evidence._host_errors import verdict_of_call
from sandscope_instrumentation_wasmtime._evidence._limit_messages import LIMIT_MESSAGES, limit_attributes
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID, STATE, StoreState, state_of
from sandscope_instrumentation_wasmtime._verdicts import UNKNOWN_IMPORT

SECURITY = "sandbox.security"
RESOURCE = "sandbox.resource"
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "wasmtime"}
_COMPONENT = "wasmtime.violations"
_LONGEST = 128


class _Thread(threading.local):
    """The last exception that was reported on this thread: it may propagate through several calls."""

    reported: Callable[[], BaseException | None] | None = None


_thread = _Thread()


def patch(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Report imports that cannot be linked, and memories and tables that the host cannot grow."""
    patches.replace(
        wasmtime.Linker,
        "instantiate_pre",
        after_failure(_COMPONENT, lambda error, *_, **__: report_failed_instantiation(recorder, None, error)),
    )
    for kind, limit, argument in (
        (wasmtime.Memory, "memory", "memory_size"),
        (wasmtime.Table, "table", "table_elements"),
    ):
        patches.replace(
            kind, "grow", after_failure(_COMPONENT, _report_failed_grow(recorder, limit, argument))
        )


def report_failed_call(execution: Execution, verdict: Verdict, error: BaseException) -> None:
    """Report a call that is about to end with a violation or a limit.

    Args:
        execution: the call.
        verdict: on the call.
        error: the exception that it raised.
    """
    if verdict.status == "OK":
        return
    state = _state_from_traceback(error)
    if state is not None and execution.site.traced:
        execution.set_attributes({SANDBOX_ID: state.number})
    if (verdict.status != "SV" and verdict.limit is None) or _was_reported(error):
        return
    attributes = {**_store_attributes(state), **execution.site.attributes}
    if verdict.limit is not None:
        name = RESOURCE
        attributes |= _limit_attributes(verdict.limit, state, _engine_message(error))
    else:
        name = SECURITY
        attributes |= _violation_attributes(verdict.cause, "trapped")
    if execution.site.traced:
        execution.add_event(name, attributes)
    body = f"{execution.site.name}: {verdict.cause}"
    execution.log(name, body, severity="WARN", attributes=attributes)


def report_failed_instantiation(recorder: Recorder, state: StoreState | None, error: BaseException) -> None:
    """Count and report an instantiation that failed with a violation or a limit.

    Args:
        recorder: gets both.
        state: of the store, if it is known.
        error: the exception that was raised.
    """
    verdict, message, attributes = verdict_of_call(error), _engine_message(error), _store_attributes(state)
    limit = next((each.limit for each in LIMIT_MESSAGES if each.pattern.match(message)), verdict.limit)
    missing = unknown_import(error)
    point: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "instantiate"}
    if limit is not None:
        recorder.measure(LIMIT_VIOLATIONS, 1, {**point, "sandbox.limit": limit})
        attributes |= _limit_attributes(limit, state, message)
        recorder.log(RESOURCE, f"instantiate: {limit}", severity="WARN", attributes=attributes)
    elif missing is not None:
        module, name = missing
        resource = (f"{module}::{name}" if module else name)[:_LONGEST]
        capability = capability_of(module, name)
        recorder.measure(SECURITY_VIOLATIONS, 1, {**point, "sandbox.verdict.cause": UNKNOWN_IMPORT.cause})
        attributes |= _violation_attributes(UNKNOWN_IMPORT.cause, "refused", resource)
        if capability is not None:
            attributes[CAPABILITY] = capability
        body = f"instantiate: unknown import {resource}"
        recorder.log(SECURITY, body, severity="WARN", attributes=attributes)
    elif verdict.status == "SV":
        recorder.measure(SECURITY_VIOLATIONS, 1, {**point, "sandbox.verdict.cause": verdict.cause})
        attributes |= _violation_attributes(verdict.cause, "trapped")
        recorder.log(SECURITY, f"instantiate: {verdict.cause}", severity="WARN", attributes=attributes)


def unknown_import(error: BaseException) -> tuple[str, str] | None:
    """Return module and name of an import that is not defined; the module is empty for a component's import."""
    before, _, rest = _engine_message(error).partition("`")
    if before == "unknown import: ":
        module, _, name = rest.partition("::")
        return module, name.rpartition("` has not been defined")[0] or name
    if before.startswith("component imports ") and "a matching implementation was not found" in rest:
        return "", rest.partition("`")[0]
    return None


def _report_failed_grow(recorder: Recorder, limit: str, argument: str) -> Callable[..., None]:
    def report(error: Exception, _grown: Any, store: Any = None, *_args: Any, **_kwargs: Any) -> None:
        if not _engine_message(error).startswith("failed to grow "):
            return
        state = state_of(store)
        given = None if state is None else state.limits.get(argument)
        point: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "grow", "sandbox.limit": limit}
        recorder.measure(LIMIT_VIOLATIONS, 1, point)
        attributes = {**_store_attributes(state), **limit_attributes(limit, given=given)}
        recorder.log(RESOURCE, f"grow: {limit}", severity="WARN", attributes=attributes)

    return report


def _store_attributes(state: StoreState | None) -> dict[str, Value]:
    return {**_RUNTIME} if state is None else {**_RUNTIME, SANDBOX_ID: state.number}


def _violation_attributes(kind: str, action: str, resource: str | None = None) -> dict[str, Value]:
    attributes: dict[str, Value] = {"sandbox.violation.type": kind, "sandbox.violation.action": action}
    if resource is not None:
        attributes["sandbox.violation.resource"] = resource
    return attributes


def _limit_attributes(limit: str, state: StoreState | None, message: str) -> dict[str, Value]:
    """Return the limit that was reached, and its numbers as far as the message and the store tell them."""
    if limit == "fuel":
        return limit_attributes(limit, given=None if state is None else state.fuel_given)
    for each in LIMIT_MESSAGES:
        found = each.pattern.match(message)
        if found:
            given = None if state is None else state.limits.get(each.argument)
            return limit_attributes(limit, int(found.group(1)) * each.unit, given)
    return limit_attributes(limit)


def _engine_message(error: BaseException) -> str:
    """Return the engine's message without the backtrace of the host, which some versions add; else nothing."""
    if not type(error).__module__.startswith("wasmtime."):
        return ""  # the program's exception may run code of the program to make its message
    message, backtrace, rest = str(error).rpartition("\n\nStack backtrace:")
    return message if backtrace else rest


def _state_from_traceback(error: BaseException) -> StoreState | None:
    """Return the state of the store that the call was made with, from wasmtime's own frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__", "").startswith("wasmtime."):
            state: StoreState | None = getattr(frame.f_locals.get("store"), STATE, None)
            return state
    return None


def _was_reported(error: BaseException) -> bool:
    """Return whether a nested call has reported this exception; from now on, it counts as reported."""
    if _thread.reported is not None and _thread.reported() is error:
        return True
    try:
        _thread.reported = weakref.ref(error)
    except TypeError:  # not a class of wasmtime; then each call reports it
        _thread.reported = None
    return False
