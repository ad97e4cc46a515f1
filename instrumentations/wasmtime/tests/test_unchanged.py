"""Programs end in the same way with and without the instrumentation: each is run both ways."""

from __future__ import annotations

import functools
import inspect
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from wasmtime import component

MATH = """(module $math (memory (export "memory") 1) (table (export "table") 2 funcref) (elem (i32.const 0) $add)
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (result i32 i64) i32.const 1 i64.const 2)
  (func (export "trap") unreachable))"""
CALLS = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))'
GIVES = '(module (import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f)))'
STARTS = '(module (import "h" "f" (func $f)) (start $f))'
COMPONENT = """(component (import "h" (func $h)) (core func $lower (canon lower (func $h)))
  (core module $m (import "" "h" (func $h)) (func (export "f") (call $h)) (func (export "trap") unreachable))
  (core instance $i (instantiate $m (with "" (instance (export "h" (func $lower))))))
  (func (export "f") (canon lift (core func $i "f"))) (func (export "trap") (canon lift (core func $i "trap"))))"""


def none() -> wasmtime.FuncType:
    """Return the type of a function without parameters: one for each engine, or wasmtime aborts."""
    return wasmtime.FuncType([], [])


def math() -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, MATH), []).exports(store)


def calling(host: Any, *, text: str = CALLS, **options: Any) -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    kind = wasmtime.FuncType([], [wasmtime.ValType.i32()]) if text is GIVES else none()
    func = wasmtime.Func(store, kind, host, **options)
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, text), [func]).exports(store)


def linked(host: Any, **options: Any) -> Any:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    linker.define_func("h", "f", none(), host, **options)
    exports = linker.instantiate(store, wasmtime.Module(store.engine, CALLS)).exports(store)
    return exports["run"](store)  # type: ignore[operator]


def in_component(host: Any, name: str = "f") -> Any:
    store = wasmtime.Store()
    linker = component.Linker(store.engine)
    with linker.root() as root:
        root.add_func("h", host)
    built = component.Component(store.engine, COMPONENT)
    return linker.instantiate(store, built).get_func(store, name)(store)  # type: ignore[misc]


def run(host: Any, **options: Any) -> Any:
    store, exports = calling(host, **options)
    return exports["run"](store)


def raising(error: BaseException | type[BaseException]) -> Callable[..., None]:
    def host(*_args: object) -> None:
        raise error

    return host


class DeniedError(Exception):
    """An exception with state."""

    def __init__(self, code: int) -> None:
        super().__init__(code, "denied")
        self.code = code


class Policy:
    """A host function that is an object, and one that is a method."""

    def __call__(self) -> None:
        raise DeniedError(7)

    def check(self) -> None:
        raise DeniedError(8)


def chained() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise DeniedError(9) from error


def trap_through_guests(depth: int) -> Any:
    store, exports = math()
    inner: Callable[[], Any] = lambda: exports["trap"](store)  # noqa: E731
    for _ in range(depth):
        outer_store, outer = calling(inner)
        inner = functools.partial(outer["run"], outer_store)
    return inner()


def closed(use: Callable[[wasmtime.Store, Any], Any]) -> Any:
    store, exports = math()
    exports["add"](store, 1, 2)
    store.close()
    return use(store, exports)


def handed_to_a_thread() -> Any:
    store, exports = math()
    results: list[Any] = []

    def work() -> None:
        results.append(exports["add"](store, 1, 2))
        with pytest.raises(wasmtime.Trap) as caught:
            exports["trap"](store)
        results.append(caught.value.trap_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return [*results, exports["add"](store, 3, 4)]


class OwnFunc(wasmtime.Func):
    """A subclass with other arguments and another result."""

    def __init__(self, store: wasmtime.Store, func: Callable[..., Any]) -> None:
        self.note = "mine"
        super().__init__(store, none(), lambda: (func(), None)[1])

    def __call__(self, store: Any, *params: Any) -> Any:
        return (self.note, super().__call__(store, *params))


class OwnStore(wasmtime.Store):
    """A subclass with an attribute."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label


class OwnModule(wasmtime.Module):
    pass


def subclasses() -> Any:
    store = OwnStore("mine")
    called: list[int] = []
    func = OwnFunc(store, lambda: called.append(1))
    module = OwnModule(store.engine, CALLS)
    copy = OwnModule.deserialize(store.engine, module.serialize())
    wasmtime.Instance(store, copy, [func]).exports(store)["run"](store)  # type: ignore[operator]
    return func(store), called, store.label, type(module), type(copy), isinstance(func, wasmtime.Func)


def table_and_caller() -> Any:
    store, exports = math()
    function = exports["table"].get(store, 0)
    seen: list[object] = [
        function(store, 1, 2),
        exports["table"].get(store, 1),
        exports["table"].get(store, 9),
    ]

    def host(caller: wasmtime.Caller) -> None:
        seen.extend([type(caller), caller.get("missing"), type(caller.get("run"))])
        with pytest.raises(KeyError):
            caller["missing"]

    run(host, access_caller=True)
    return seen


STORE, EXPORTS = math()
SINGLETON = DeniedError(1)

PROGRAMS: dict[str, Callable[[], Any]] = {
    "a result": lambda: EXPORTS["add"](STORE, 1, 2),
    "two results": lambda: EXPORTS["pair"](STORE),
    "by keyword": lambda: EXPORTS["pair"](store=STORE),
    "no store": lambda: EXPORTS["add"](),  # noqa: PLW0108 -- looked up when it runs
    "too few": lambda: EXPORTS["add"](STORE),
    "too many": lambda: EXPORTS["add"](STORE, 1, 2, 3),
    "a wrong type": lambda: EXPORTS["add"](STORE, 1, "two"),
    "a wrong keyword": lambda: EXPORTS["add"](STORE, 1, b=2),
    "keywords like our own": lambda: EXPORTS["add"](STORE, begin=1, site=2, function=3, self=4),
    "no store at all": lambda: EXPORTS["add"]("store", 1, 2),
    "no self": lambda: wasmtime.Func.__call__(),  # type: ignore[call-arg] # noqa: PLW0108
    "another self": lambda: wasmtime.Func.__call__(5, STORE),  # type: ignore[arg-type]
    "a trap": lambda: EXPORTS["trap"](STORE),
    "a trap across one guest": lambda: trap_through_guests(1),
    "a trap across four guests": lambda: trap_through_guests(4),
    "a malformed text": lambda: wasmtime.Module(STORE.engine, "(module"),
    "a malformed binary": lambda: wasmtime.Module(STORE.engine, b"\0asm\1\0\0\0\xff"),
    "no binary": lambda: wasmtime.Module(STORE.engine, b""),
    "a source of no type": lambda: wasmtime.Module(STORE.engine, 5),  # type: ignore[arg-type]
    "no engine": lambda: wasmtime.Module("engine", MATH),  # type: ignore[arg-type]
    "no file": lambda: wasmtime.Module.from_file(STORE.engine, "/nowhere.wasm"),
    "not serialized": lambda: wasmtime.Module.deserialize(STORE.engine, b"nonsense"),
    "no serialized file": lambda: wasmtime.Module.deserialize_file(STORE.engine, "/nowhere.cwasm"),
    "a malformed component": lambda: component.Component(STORE.engine, "(component"),
    "a module as component": lambda: component.Component(STORE.engine, "(module)"),
    "an unknown import": lambda: wasmtime.Linker(STORE.engine).instantiate(
        STORE, wasmtime.Module(STORE.engine, CALLS)
    ),
    "too few imports": lambda: wasmtime.Instance(STORE, wasmtime.Module(STORE.engine, CALLS), []),
    "a wrong import": lambda: wasmtime.Instance(
        STORE, wasmtime.Module(STORE.engine, CALLS), [EXPORTS["add"]]
    ),
    "an import of no type": lambda: wasmtime.Instance(STORE, wasmtime.Module(STORE.engine, CALLS), [5]),  # type: ignore[list-item]
    "no module": lambda: wasmtime.Instance(STORE, "module", []),  # type: ignore[arg-type]
    "a component's unknown import": lambda: component.Linker(STORE.engine).instantiate(
        STORE, component.Component(STORE.engine, COMPONENT)
    ),
    "nothing in the linker": lambda: wasmtime.Linker(STORE.engine).get(STORE, "no", "thing"),
    "no default": lambda: wasmtime.Linker(STORE.engine).get_default(STORE, "nothing")(STORE),
    "a closed store, called": lambda: closed(lambda store, exports: exports["add"](store, 1, 2)),
    "a closed store, exported": lambda: closed(
        lambda store, _: wasmtime.Instance(store, wasmtime.Module(store.engine, MATH), [])
    ),
    "a closed store, with a new function": lambda: closed(
        lambda store, _: wasmtime.Func(store, none(), print)
    ),
    "a closed store, configured": lambda: closed(lambda store, _: store.set_wasi(wasmtime.WasiConfig())),
    "a closed store, closed": lambda: closed(lambda store, _: store.close()),
    "a store used by two threads": handed_to_a_thread,
    "a function of no store": lambda: wasmtime.Func("store", none(), print),  # type: ignore[arg-type]
    "a function of no type": lambda: wasmtime.Func(STORE, "type", print),  # type: ignore[arg-type]
    "a function without arguments": lambda: wasmtime.Func(),  # type: ignore[call-arg] # noqa: PLW0108
    "a function with too many arguments": lambda: wasmtime.Func(STORE, none(), print, False, 5),  # type: ignore[call-arg]
    "what cannot be called": lambda: run(5),
    "nothing to call": lambda: run(None),
    "a host function": lambda: run(lambda: None),
    "a host function by keyword": lambda: wasmtime.Func(store=STORE, ty=none(), func=lambda: None)(STORE),
    "a host function with too many parameters": lambda: run(lambda _one: None),
    "a host function with a default": lambda: run(lambda one=1: None),
    "a host function that returns something": lambda: run(lambda: 5),
    "a host function that returns a wrong type": lambda: run(lambda: "five", text=GIVES),
    "a host function that returns": lambda: run(lambda: 5, text=GIVES),
    "a builtin": lambda: run(print),
    "a function of the standard library": lambda: run(inspect.currentframe),
    "an object": lambda: run(Policy()),
    "a method": lambda: run(Policy().check),
    "a partial": lambda: run(functools.partial(Policy.check, Policy())),
    "a class": lambda: run(Policy),
    "a host error": lambda: run(raising(KeyError("host"))),
    "a host error with state": lambda: run(raising(DeniedError(3))),
    "a host error raised twice": lambda: run(raising(SINGLETON)),
    "a host error with a cause": lambda: run(chained),
    "a host's trap": lambda: run(raising(wasmtime.Trap("denied"))),
    "a host's wasmtime error": lambda: run(raising(wasmtime.WasmtimeError("denied"))),
    "a host's stop of an iteration": lambda: run(raising(StopIteration("host"))),
    "a host error in a linker": lambda: linked(raising(DeniedError(4))),
    "a linker's function with its caller": lambda: linked(lambda caller: None, access_caller=True),
    "a linker's function of no type": lambda: wasmtime.Linker(STORE.engine).define_func("h", "f", 5, print),  # type: ignore[arg-type]
    "a linker's function without a name": lambda: wasmtime.Linker(STORE.engine).define_func("h"),  # type: ignore[call-arg]
    "a host error in a start function": lambda: calling(raising(DeniedError(5)), text=STARTS),
    "a component": lambda: in_component(lambda _store: None),
    "a component's trap": lambda: in_component(lambda _store: None, "trap"),
    "a component's host error": lambda: in_component(raising(DeniedError(6))),
    "a component's host function without a store": lambda: in_component(lambda: None),
    "a component's host function that cannot be called": lambda: in_component(5),
    "a component's wasmtime error": lambda: in_component(raising(wasmtime.WasmtimeError("denied"))),
    "a trap across a component": lambda: in_component(lambda _store: trap_through_guests(1)),
    "no export of a component": lambda: in_component(print, "missing"),
    "subclasses": subclasses,
    "tables and callers": table_and_caller,
}
if len(wasmtime.TrapCode) > 11:  # earlier versions did not propagate them
    PROGRAMS |= {
        "a host's exit": lambda: run(raising(SystemExit(3))),
        "a host's interrupt": lambda: run(raising(KeyboardInterrupt)),
        "a host's end of a generator": lambda: run(raising(GeneratorExit)),
    }


def outcome(program: Callable[[], Any]) -> list[object]:
    """Return the result or the exception of a program."""
    try:
        result = program()
    except BaseException as error:  # noqa: BLE001 -- whatever it is
        return ["raised", *seen(error)]
    if isinstance(result, (wasmtime.Func, wasmtime.Instance, wasmtime.Module, tuple)):
        return [
            "returned",
            type(result),
            [type(each) for each in result] if isinstance(result, tuple) else None,
        ]
    return ["returned", result]


def seen(error: BaseException) -> list[object]:
    """Return everything that a program can see of an exception, except its frames."""
    text, *_ = str(error).split("Stack backtrace:")  # the host's own frames, in some versions
    attributes = {
        name: value if isinstance(value, (int, str)) else type(value)
        for name, value in vars(error).items()
        if not name.startswith("_sandscope")
    }
    try:
        pickled = str(type(pickle.loads(pickle.dumps(error))))  # noqa: S301 -- its own
    except Exception as refusal:  # noqa: BLE001 -- compared
        pickled = f"{type(refusal).__name__}: {refusal}"
    ours = [
        frame.f_code.co_name
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(("test_unchanged.py",))
    ]
    chain = [type(error.__cause__), type(error.__context__), error.__suppress_context__]
    args = [each if isinstance(each, (int, str)) else type(each) for each in error.args]
    code = getattr(error, "trap_code", None) if isinstance(error, wasmtime.Trap) else None
    SINGLETON.__traceback__ = SINGLETON.__context__ = (
        None  # it exists as long as the tests, and would collect them
    )
    return [type(error), text, args, error is SINGLETON, attributes, pickled, ours, chain, code]


EVERYTHING = {"host_spans": True, "fuel": True, "cpu": True}


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"spans": "outer"}, {"spans": "off"}], ids=str)
@pytest.mark.usefixtures("recorder_kind")
def test_every_program_ends_as_in_plain_wasmtime(
    settings: dict[str, Any], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {name: outcome(program) for name, program in PROGRAMS.items()}
    printed = capsys.readouterr()
    request.getfixturevalue("instrumented")
    assert {name: outcome(program) for name, program in PROGRAMS.items()} == plain
    assert capsys.readouterr() == printed


def test_the_programs_end_in_many_ways() -> None:
    """Otherwise the test above would compare little."""
    ends = [outcome(program) for program in PROGRAMS.values()]
    assert len({str(end[:2]) for end in ends if end[0] == "raised"}) >= 9
    assert sum(end[0] == "returned" for end in ends) >= 10
