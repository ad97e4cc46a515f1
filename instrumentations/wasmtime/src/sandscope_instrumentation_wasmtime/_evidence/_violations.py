"""Why executions fail: the engine's reason; violations and limits, as log records and events of the span.

The recorder counts violations and limits by the verdict. Those outside of executions are counted here: memories and
tables that the host could not grow.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import (
    LIMIT_VIOLATIONS,
    RESOURCE,
    SECURITY,
    Execution,
    Patches,
    Recorder,
    Value,
    Verdict,
    limit_attributes,
    report_incident,
)
from sandscope_instrumentation_wasmtime._after_call import after_failure
from sandscope_instrumentation_wasmtime._evidence._capabilities import CAPABILITY, capability_of
from sandscope_instrumentation_wasmtime._evidence._engine_messages import (
    backtrace_of,
    engine_message,
    reason_of,
)
from sandscope_instrumentation_wasmtime._evidence._host_errors import (
    engine_error,
    hide_values,
    verdict_of_call,
    words_of,
)
from sandscope_instrumentation_wasmtime._evidence._limit_messages import (
    LIMIT_MESSAGES,
    PAGE,
)
from sandscope_instrumentation_wasmtime._measures._host_limits import stack_size
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID, StoreState, state_of
from sandscope_instrumentation_wasmtime._verdicts import HOST_ERROR, UNKNOWN_IMPORT

EXIT_CODE = "wasm.exit_code"
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "wasmtime"}
_COMPONENT = "wasmtime.violations"
_LONGEST = 128
_GIVEN = {"fuel": "fuel_given", "epoch": "epoch_deadline"}
"""Attributes of a store's state by limit."""
_METHODS = {"__call__", "__init__", "instantiate", "define_module"}
"""wasmtime's methods that call a function or make an instance in their argument ``store``."""


class _Thread(threading.local):
    """The last exception that was reported on this thread: it may propagate through several calls."""

    reported: Callable[[], BaseException | None] | None = None


_thread = _Thread()


def patch(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Report memories and tables that the host cannot grow."""
    for kind, limit, argument in (
        (wasmtime.Memory, "memory", "memory_size"),
        (wasmtime.Table, "table", "table_elements"),
    ):
        patches.replace(
            kind, "grow", after_failure(_COMPONENT, _report_failed_grow(recorder, limit, argument))
        )


def report_failed_call(execution: Execution, verdict: Verdict, error: BaseException) -> None:
    """Explain a call that is about to end, and report it if it ends with a violation or a limit.

    Args:
        execution: the call.
        verdict: on the call.
        error: the exception that it raised.
    """
    code = getattr(error, "code", None) if type(error).__module__.startswith("wasmtime.") else None
    if isinstance(code, int) and execution.site.traced:
        execution.set_attributes({EXIT_CODE: code})
    if verdict.status == "OK":
        return
    store = _explain(execution, verdict, error)
    if (verdict.status != "SV" and verdict.limit is None) or _was_reported(error):
        return
    if verdict.limit is not None:
        attributes = _limit_attributes(verdict.limit, store, engine_message(error))
        _report(execution, RESOURCE, store, attributes, verdict.cause)
    else:
        _report(execution, SECURITY, store, _violation_attributes(verdict.cause, "trapped"), verdict.cause)


def verdict_of_instantiation(error: BaseException) -> Verdict:
    """Return the verdict on an instantiation that raised."""
    verdict = verdict_of_call(error)
    return verdict if unknown_import(error) is None else UNKNOWN_IMPORT


def report_failed_instantiation(execution: Execution, verdict: Verdict, error: BaseException) -> None:
    """Explain an instantiation that is about to end, and report it: see `report_failed_call`."""
    missing = unknown_import(error)
    if missing is None:
        report_failed_call(execution, verdict, error)
        return
    store = _explain(execution, verdict, error)
    module, name = missing
    resource = (f"{module}::{name}" if module else name)[:_LONGEST]
    attributes = _violation_attributes(UNKNOWN_IMPORT.cause, "refused", resource)
    capability = capability_of(module, name)
    if capability is not None:
        attributes[CAPABILITY] = capability
    _was_reported(error)
    _report(execution, SECURITY, store, attributes, f"unknown import {resource}")


def _explain(execution: Execution, verdict: Verdict, error: BaseException) -> Any:
    """Tell an execution why it fails, and the number of its store. Return the store, or None."""
    store = _store_from_traceback(error)
    state = state_of(store)
    if execution.site.traced:
        if state is not None:
            execution.set_attributes({SANDBOX_ID: state.number})
        hide_values(execution, verdict, error)
        message = "" if verdict == HOST_ERROR else engine_message(engine_error(error))
        if message:
            execution.explain(reason_of(words_of(error)), backtrace_of(message))
    return store


def _report(execution: Execution, name: str, store: Any, attributes: dict[str, Value], what: str) -> None:
    attributes = {**_store_attributes(state_of(store)), **attributes}
    report_incident(execution, name, what, attributes)


def unknown_import(error: BaseException) -> tuple[str, str] | None:
    """Return module and name of an import that is not defined; the module is empty for a component's import."""
    before, _, rest = engine_message(error).partition("`")
    if before == "unknown import: ":
        module, _, name = rest.partition("::")
        return module, name.rpartition("` has not been defined")[0] or name
    if before.startswith("component imports ") and "a matching implementation was not found" in rest:
        return "", rest.partition("`")[0]
    return None


def _report_failed_grow(recorder: Recorder, limit: str, argument: str) -> Callable[..., None]:
    def report(error: Exception, grown: Any, store: Any = None, delta: int = 0, *_: Any, **__: Any) -> None:
        if not engine_message(error).startswith("failed to grow "):
            return
        state = state_of(store)
        given = None if state is None else state.limits.get(argument)
        declared, usage = _declared_and_wanted(grown, store, delta)
        known = [each for each in (given, declared) if each is not None]
        point: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "grow", "sandbox.limit": limit}
        recorder.measure(LIMIT_VIOLATIONS, 1, point)
        attributes = _store_attributes(state) | limit_attributes(limit, usage, min(known, default=None))
        recorder.log(RESOURCE, f"grow: {limit}", severity="WARN", attributes=attributes)

    return report


def _declared_and_wanted(grown: Any, store: Any, delta: int) -> tuple[int | None, int]:
    """Return the maximum of a memory or table by its own declaration, and the size that the host asked for."""
    kind = grown.type(store)
    unit = int(getattr(kind, "page_size", PAGE)) if hasattr(grown, "data_len") else 1
    most = kind.limits.max
    return None if most is None else most * unit, (grown.size(store) + delta) * unit


def _store_attributes(state: StoreState | None) -> dict[str, Value]:
    return {**_RUNTIME} if state is None else {**_RUNTIME, SANDBOX_ID: state.number}


def _violation_attributes(kind: str, action: str, resource: str | None = None) -> dict[str, Value]:
    attributes: dict[str, Value] = {"sandbox.violation.type": kind, "sandbox.violation.action": action}
    if resource is not None:
        attributes["sandbox.violation.resource"] = resource
    return attributes


def _limit_attributes(limit: str, store: Any, message: str) -> dict[str, Value]:
    """Return the limit that was reached, and its numbers as far as the message and the store tell them."""
    state = state_of(store)
    if limit == "stack":
        return limit_attributes(limit, given=stack_size(store))
    if limit in _GIVEN:
        return limit_attributes(limit, given=getattr(state, _GIVEN[limit], None))
    for each in LIMIT_MESSAGES:
        found = each.pattern.match(message)
        if found:
            wanted = int(found.group(1)) * each.unit
            if state is None:
                return limit_attributes(limit, wanted)
            wanted -= state.probe_made.get(each.argument, 0)
            return limit_attributes(limit, wanted, state.limits.get(each.argument))
    return limit_attributes(limit)


def _store_from_traceback(error: BaseException) -> Any:
    """Return the store of a call or instantiation, or None, from wasmtime's own frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name in _METHODS and frame.f_globals.get("__name__", "").startswith("wasmtime."):
            return frame.f_locals.get("store")
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
