"""What sandboxes refused and which limits were reached, as log records and events of the call's span.

A call that ends so is counted by its verdict. What else there is, is counted here: instantiations, and
memories and tables that the host itself could not grow.
"""

from __future__ import annotations

import re
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
from sandscope_instrumentation_wasmtime._after_call import failing
from sandscope_instrumentation_wasmtime._evidence._capabilities import CAPABILITY, capability_of
from sandscope_instrumentation_wasmtime._evidence._host_errors import verdict_of_call
from sandscope_instrumentation_wasmtime._measures import _memory
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_ID, STATE, StoreState, state_of
from sandscope_instrumentation_wasmtime._verdicts import UNKNOWN_IMPORT

SECURITY = "sandbox.security"
RESOURCE = "sandbox.resource"
_RUNTIME: dict[str, Value] = {"sandbox.runtime": "wasmtime"}

_LONGEST = 128
_LARGEST = (1 << 63) - 1
"""Of OTLP's integers."""
_LIMITS = (  # the engine's words, the resource, the argument of `set_limits`, what one of the number is
    (re.compile(r"memory minimum size of (\d+) pages exceeds"), "memory", "memory_size", _memory.PAGE),
    (re.compile(r"table minimum size of (\d+) elements exceeds"), "table", "table_elements", 1),
    (re.compile(r"resource limit exceeded: instance count too high at (\d+)"), "instance", "instances", 1),
    (re.compile(r"resource limit exceeded: memory count too high at (\d+)"), "memory", "memories", 1),
    (re.compile(r"resource limit exceeded: table count too high at (\d+)"), "table", "tables", 1),
)


class _Thread(threading.local):
    """The exception that was reported last: it may end calls further out, too."""

    reported: Callable[[], BaseException | None] | None = None


_thread = _Thread()


def patch(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Notice what the host cannot link or grow."""
    place = "wasmtime.violations"
    memory = _not_grown(recorder, "memory", "memory_size")
    table = _not_grown(recorder, "table", "table_elements")
    patches.replace(wasmtime.Linker, "instantiate_pre", failing(place, _not_linked(recorder)))
    patches.replace(wasmtime.Memory, "grow", failing(place, memory))
    patches.replace(wasmtime.Table, "grow", failing(place, table))


def failed(execution: Execution, verdict: Verdict, error: BaseException) -> None:
    """Report a call that is about to end by a violation or a limit.

    Args:
        execution: the call.
        verdict: on it.
        error: what it raised.
    """
    if verdict.status == "OK":
        return
    state = _state_in(error)
    if state is not None and execution.site.traced:
        execution.set_attributes({SANDBOX_ID: state.id})
    if (verdict.status != "SV" and verdict.limit is None) or _is_reported(error):
        return
    about = {**_about(state), **execution.site.attributes}
    if verdict.limit is not None:
        name, attributes = RESOURCE, {**about, **_numbers(verdict.limit, state, _said(error))}
    else:
        name, attributes = SECURITY, {**about, **_violation(verdict.cause, "trapped")}
    if execution.site.traced:
        execution.add_event(name, attributes)
    body = f"{execution.site.name}: {verdict.cause}"
    execution.log(name, body, severity="WARN", attributes=attributes)


def refused(recorder: Recorder, state: StoreState | None, error: BaseException) -> None:
    """Count and report an instantiation that failed by a violation or a limit.

    Args:
        recorder: gets both.
        state: of the store, if that is known.
        error: what it raised.
    """
    verdict, said, about = verdict_of_call(error), _said(error), _about(state)
    limit = next((limit for words, limit, _, _ in _LIMITS if words.match(said)), verdict.limit)
    unknown = unknown_import(error)
    base: dict[str, Value] = {**_RUNTIME, "sandbox.operation": "instantiate"}
    if limit is not None:
        recorder.measure(LIMIT_VIOLATIONS, 1, {**base, "sandbox.limit": limit})
        _log(recorder, RESOURCE, f"instantiate: {limit}", {**about, **_numbers(limit, state, said)})
    elif unknown is not None:
        module, name = unknown
        wanted = (f"{module}::{name}" if module else name)[:_LONGEST]
        capability = capability_of(module, name)
        attributes = {**about, **_violation(UNKNOWN_IMPORT.cause, "refused", wanted)}
        recorder.measure(SECURITY_VIOLATIONS, 1, {**base, "sandbox.verdict.cause": UNKNOWN_IMPORT.cause})
        if capability is not None:
            attributes[CAPABILITY] = capability
        _log(recorder, SECURITY, f"instantiate: unknown import {wanted}", attributes)
    elif verdict.status == "SV":
        recorder.measure(SECURITY_VIOLATIONS, 1, {**base, "sandbox.verdict.cause": verdict.cause})
        attributes = {**about, **_violation(verdict.cause, "trapped")}
        _log(recorder, SECURITY, f"instantiate: {verdict.cause}", attributes)


def unknown_import(error: BaseException) -> tuple[str, str] | None:
    """Return module and name of an import that nobody has defined; a component's has no module."""
    before, _, rest = _said(error).partition("`")
    if before == "unknown import: ":
        module, _, name = rest.partition("::")
        return module, name.rpartition("` has not been defined")[0] or name
    if before.startswith("component imports ") and "a matching implementation was not found" in rest:
        return "", rest.partition("`")[0]
    return None


def _not_linked(recorder: Recorder) -> Callable[..., None]:
    return lambda error, *_args, **_kwargs: refused(recorder, None, error)


def _not_grown(recorder: Recorder, limit: str, argument: str) -> Callable[..., None]:
    def not_grown(error: Exception, _grown: Any, store: Any = None, *_args: Any, **_kwargs: Any) -> None:
        if not _said(error).startswith("failed to grow "):
            return
        state = state_of(store)
        given = None if state is None else state.limits.get(argument)
        attributes = {**_RUNTIME, "sandbox.operation": "grow", "sandbox.limit": limit}
        recorder.measure(LIMIT_VIOLATIONS, 1, attributes)
        _log(recorder, RESOURCE, f"grow: {limit}", {**_about(state), **_limit(limit, None, given)})

    return not_grown


def _log(recorder: Recorder, name: str, body: str, attributes: dict[str, Value]) -> None:
    recorder.log(name, body, severity="WARN", attributes=attributes)


def _about(state: StoreState | None) -> dict[str, Value]:
    return {**_RUNTIME} if state is None else {**_RUNTIME, SANDBOX_ID: state.id}


def _violation(kind: str, action: str, resource: str | None = None) -> dict[str, Value]:
    attributes: dict[str, Value] = {"sandbox.violation.type": kind, "sandbox.violation.action": action}
    if resource is not None:
        attributes["sandbox.violation.resource"] = resource
    return attributes


def _numbers(limit: str, state: StoreState | None, said: str) -> dict[str, Value]:
    """Return the limit that was reached, and as much of its numbers as is known."""
    if limit == "fuel":
        return _limit(limit, None, None if state is None else state.fuel_given)
    for words, _, argument, unit in _LIMITS:
        found = words.match(said)
        if found:
            given = None if state is None else state.limits.get(argument)
            return _limit(limit, int(found.group(1)) * unit, given)
    return _limit(limit, None, None)


def _limit(limit: str, usage: int | None, given: int | None) -> dict[str, Value]:
    attributes: dict[str, Value] = {"sandbox.limit": limit}
    if usage is not None:
        attributes["sandbox.resource.usage"] = min(usage, _LARGEST)
    if given is not None:
        attributes["sandbox.resource.limit"] = min(given, _LARGEST)
    return attributes


def _said(error: BaseException) -> str:
    """Return the engine's words without the host's own frames, which some versions add."""
    if not type(error).__module__.startswith("wasmtime."):
        return ""  # the words are the program's
    said, frames, rest = str(error).rpartition("\n\nStack backtrace:")
    return said if frames else rest


def _state_in(error: BaseException) -> StoreState | None:
    """Return the state of the store that a call was made with, from wasmtime's own frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__", "").startswith("wasmtime."):
            state: StoreState | None = getattr(frame.f_locals.get("store"), STATE, None)
            return state
    return None


def _is_reported(error: BaseException) -> bool:
    """Return whether a call inside has reported this exception; if not, it is reported now."""
    if _thread.reported is not None and _thread.reported() is error:
        return True
    try:
        _thread.reported = weakref.ref(error)
    except TypeError:  # no class of wasmtime's; then each call says it
        _thread.reported = None
    return False
