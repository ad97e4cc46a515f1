"""The same objects are freed with and without the instrumentation, without a garbage collection."""

from __future__ import annotations

import contextlib
import gc
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

MATH = """(module (memory (export "memory") 1) (table (export "table") 2 funcref) (elem (i32.const 0) $add)
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "trap") unreachable))"""
CALLS = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))'


def math() -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, MATH), []).exports(store)


def calling(host: Callable[[], Any]) -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    func = wasmtime.Func(store, wasmtime.FuncType([], []), host)
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, CALLS), [func]).exports(store)


def raising(error: BaseException) -> Callable[[], None]:
    def host() -> None:
        raise error

    return host


class DeniedError(Exception):
    """An exception that can be referred to weakly."""


class Policy:
    """What a host function refers to."""


def outliving() -> dict[str, list[bool]]:
    """Return which weakly referenced objects outlive each program, with garbage collection disabled."""
    gc.collect()
    gc.disable()
    try:
        result = {}
        for program in FREEING_PROGRAMS:
            references: list[weakref.ref[Any]] = []
            program(references)
            result[program.__name__] = [reference() is not None for reference in references]
        return result
    finally:
        gc.enable()
        KEPT_ERRORS.clear()


def returns(references: list[weakref.ref[Any]]) -> None:
    store, exports = math()
    exports["add"](store, 1, 2)
    references.extend([weakref.ref(store), weakref.ref(exports["add"]), weakref.ref(exports)])


def traps(references: list[weakref.ref[Any]]) -> None:
    store, exports = math()
    with pytest.raises(wasmtime.Trap) as caught:
        exports["trap"](store)
    references.extend([weakref.ref(store), weakref.ref(caught.value)])
    del caught


def calls_a_host(references: list[weakref.ref[Any]]) -> None:
    policy = Policy()
    store, exports = calling(lambda: policy and None)
    exports["run"](store)
    references.extend([weakref.ref(store), weakref.ref(policy)])


def host_raises(references: list[weakref.ref[Any]]) -> None:
    store, exports = calling(raising(DeniedError()))
    with contextlib.suppress(DeniedError):
        exports["run"](store)
    references.append(weakref.ref(store))


def error_is_kept(references: list[weakref.ref[Any]]) -> None:
    store, exports = calling(raising(DeniedError()))
    try:
        exports["run"](store)
    except DeniedError as error:
        traceback.clear_frames(error.__traceback__)
        references.extend([weakref.ref(error), weakref.ref(store)])
        KEPT_ERRORS.append(error)


def trap_propagates(references: list[weakref.ref[Any]]) -> None:
    store, exports = math()
    outer_store, outer = calling(lambda: exports["trap"](store))
    try:
        outer["run"](outer_store)
    except wasmtime.Trap as error:
        references.append(weakref.ref(error))
    references.extend([weakref.ref(store), weakref.ref(outer_store)])


def in_a_linker(references: list[weakref.ref[Any]]) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    module = wasmtime.Module(store.engine, MATH)
    instance = linker.instantiate(store, module)
    linker.define_instance(store, "math", instance)
    linker.get(store, "math", "add")(store, 1, 2)  # type: ignore[operator]
    references.extend([weakref.ref(each) for each in (store, linker, module, instance)])


def closes(references: list[weakref.ref[Any]]) -> None:
    store, exports = math()
    store.close()
    references.extend([weakref.ref(store), weakref.ref(exports)])


SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"host_spans": True, "fuel": True, "cpu": True},
    {"spans": "outer"},
    {"spans": "off"},
)
KEPT_ERRORS: list[BaseException] = []
FREEING_PROGRAMS = (
    returns,
    traps,
    calls_a_host,
    host_raises,
    error_is_kept,
    trap_propagates,
    in_a_linker,
    closes,
)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.usefixtures("recorder_kind")
def test_everything_is_freed_as_in_plain_wasmtime(
    settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    plain = outliving()
    telemetry = request.getfixturevalue("instrumented")
    assert outliving() == plain
    telemetry.flush()
    assert outliving() == plain
