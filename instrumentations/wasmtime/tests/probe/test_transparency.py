"""A program sees no difference: results, error numbers, memory, files, exceptions, what lives and what dies."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings, strategies
from wasmtime._func import FUNCTIONS as HOST_FUNCTIONS

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._probe._store_probe import store_probe
from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS, WASI

Start = Callable[..., Any]
Text = Callable[..., str]

# What answers with times and numbers of the host's files.
_VARY = {"fd_filestat_get", "path_filestat_get", "fd_readdir"}
_DETERMINED = sorted(FUNCTIONS.keys() - _VARY)

_FRAME = re.compile(r"^ *\d+: +0x")
"""A frame's number; those of the probe are counted, too."""

_NUMBERS = {
    "i32": strategies.one_of(
        strategies.integers(0, 9),
        strategies.sampled_from([64, 256, 512, 1024, 65532, 65536, 131064, 131072, 1 << 31, (1 << 32) - 4]),
        strategies.integers(0, (1 << 32) - 1),
    ),
    "i64": strategies.one_of(strategies.integers(0, 300), strategies.sampled_from([1 << 20, (1 << 62) + 3])),
}


@strategies.composite
def calls(draw: strategies.DrawFn) -> tuple[str, tuple[int, ...]]:
    """Draw a call of a WASI function with arguments that are seldom right."""
    name = draw(strategies.sampled_from(_DETERMINED))
    return name, tuple(draw(_NUMBERS[kind]) for kind in FUNCTIONS[name].parameters)


@contextmanager
def instrumentation(telemetry: Telemetry, **chosen: bool) -> Iterator[None]:
    """Switch instrumentation on for a while."""
    WasmtimeInstrumentor().instrument(**telemetry.providers, **chosen)
    try:
        yield
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert telemetry.points("sandscope.errors") == []


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call does: its result, or all that can be seen of its exception."""
    try:
        return call()
    except wasmtime.Trap as error:
        frames = [(frame.module_name, frame.func_index, frame.module_offset) for frame in error.frames]
        return type(error), said(error), error.trap_code, frames
    except wasmtime.ExitTrap as error:
        return type(error), said(error), error.code, error.args
    except Exception as error:  # noqa: BLE001 -- all are compared
        return type(error), said(error), error.args


def said(error: BaseException) -> str:
    """Return a message without frames of the host, which older versions add, and of the probe."""
    lines = str(error).partition("\n\nStack backtrace:")[0].strip().split("\n")
    return "\n".join(_FRAME.sub("", line) for line in lines if " - sandscope_" not in line)


def seen(start: Start, module: Any, data: Path, made: list[tuple[str, tuple[int, ...]]]) -> list[Any]:
    """Return all that a program can see of some calls by a guest."""
    shutil.rmtree(data)
    data.mkdir()
    (data / "file").write_bytes(b"content")
    (data / "link").symlink_to("/etc/passwd")
    out = data.parent / "out"

    def configure(config: wasmtime.WasiConfig) -> None:
        config.stdout_file = str(out)

    guest = start(module, configure)
    for address in (0, 64, 256):
        guest.put(address, 1024, 7, 512, 4, 0xFFFFFFF0, 9)
    guest.put(512, b"file")
    guest.put(1024, b"../../x link new\n")
    assert (store_probe(guest.store) is not None) is WasmtimeInstrumentor().is_instrumented_by_opentelemetry
    answers = [outcome(partial(guest, name, *args)) for name, args in made]
    files = {str(path.relative_to(data)): path.is_dir() for path in sorted(data.rglob("*"))}
    return [answers, guest.memory(0, 2 * 65536), files, out.read_bytes()]


@pytest.fixture(scope="module")
def caller(engine: wasmtime.Engine, text: Text) -> wasmtime.Module:
    """Return the guest that can call everything."""
    return wasmtime.Module(engine, text(list(FUNCTIONS)))


# The other recorder's thread draws random numbers while the strategies do.
@pytest.mark.parametrize("recorder_kind", ["direct"])
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=strategies.lists(calls(), max_size=8))
def test_whatever_a_guest_asks_for_it_gets_the_same_answer(
    telemetry: Telemetry, start: Start, caller: Any, data: Path, made: list[tuple[str, tuple[int, ...]]]
) -> None:
    plain = seen(start, caller, data, made)
    with instrumentation(telemetry, output=True):
        assert seen(start, caller, data, made) == plain


def test_a_bad_address_raises_the_same_error(telemetry: Telemetry, start: Start, text: Text) -> None:
    more = """(func $deep (export "deep") (param i32) (result i32)
      (if (result i32) (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
        (else (call $wasi_fd_write (i32.const 1) (i32.const 0x7fffffff) (i32.const 1) (i32.const 8)))))"""

    def run() -> list[Any]:
        guest = start(text(["fd_write"], more))
        return [outcome(partial(guest, "deep", depth)) for depth in (0, 1, 7)]

    plain = run()
    with instrumentation(telemetry, probe=True):
        assert run() == plain
        with pytest.raises(wasmtime.WasmtimeError) as caught:
            start(text(["fd_write"], more))("deep", 0)
    assert "Pointer" in plain[0][1]
    for name in ("sandscope_counters!fd_write", "sandscope_trampolines!fd_write"):
        assert str(caught.value).count(name) == 1, "the probe's own frames say whose they are"


@pytest.mark.parametrize(
    "body",
    [
        "unreachable",
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        "(drop (i32.load (i32.const -1)))",
        "(call $exit (i32.const 0))",
        "(call $exit (i32.const 3))",
        "(call $exit (i32.const 200))",
    ],
)
def test_a_guest_ends_in_the_same_way(telemetry: Telemetry, start: Start, text: Text, body: str) -> None:
    source = text(["fd_write"], f'(func $end {body}) (func (export "end") (call $end))')
    source = source.replace(
        "(module $caller", f'(module $caller (import "{WASI}" "proc_exit" (func $exit (param i32)))'
    )

    def run() -> Any:
        guest = start(source)
        assert guest.write(1, b"x") == 0
        return outcome(lambda: guest("end"))

    plain = run()
    with instrumentation(telemetry, probe=True):
        assert run() == plain


BROKEN = {
    "unknown import": '(import "nobody" "knows" (func))',
    "unknown WASI function": f'(import "{WASI}" "fd_unknown" (func))',
    "wrong type": f'(import "{WASI}" "fd_read" (func (param i64)))',
    "no function": f'(import "{WASI}" "fd_read" (memory 1))',
    "data": '(data (i32.const 131070) "too long")',
    "elements": "(table 1 funcref) (elem (i32.const 9) 0)",
    "memory": "(memory 65536)",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_instantiated_fails_in_the_same_words(
    telemetry: Telemetry, start: Start, text: Text, case: str
) -> None:
    broken = BROKEN[case]
    if "import" in broken:
        source = text(["fd_sync"]).replace("(module $caller", f"(module $caller {broken}")
    else:
        source = text(["fd_sync"], broken)

    def run() -> list[Any]:
        store = wasmtime.Store()
        store.set_wasi(wasmtime.WasiConfig())
        store.set_limits(memory_size=1 << 20)
        return [outcome(lambda: start(source, store=store, engine=store.engine)) for _ in range(2)]

    plain = run()
    assert isinstance(plain[0], tuple), "it cannot be instantiated"
    with instrumentation(telemetry, probe=True):
        assert run() == plain


def test_wrong_arguments_fail_in_the_same_words(
    telemetry: Telemetry, start: Start, engine: Any, text: Text
) -> None:
    def run() -> list[Any]:
        guest = start()
        linker = wasmtime.Linker(engine)
        closed = wasmtime.Store(engine)
        closed.close()
        module = wasmtime.Module(engine, text(["fd_sync"]))
        closed_module = wasmtime.Module(engine, text(["fd_sync"]))
        closed_module.close()
        tries: list[Callable[[], Any]] = [
            lambda: linker.instantiate(None, module),  # type: ignore[arg-type]
            lambda: linker.instantiate(guest.store, None),  # type: ignore[arg-type]
            lambda: linker.instantiate(closed, module),
            lambda: linker.instantiate(guest.store, module),
            lambda: linker.instantiate(guest.store, closed_module),
            lambda: linker.instantiate(guest.store, module=module, more=1),  # type: ignore[call-arg]
            lambda: linker.instantiate(guest.store),  # type: ignore[call-arg]
            lambda: linker.define_wasi(1),  # type: ignore[call-arg]
            lambda: linker.define(guest.store, WASI, "x", None),  # type: ignore[arg-type]
            lambda: wasmtime.Store(1),  # type: ignore[arg-type]
            lambda: guest("fd_sync"),
            lambda: guest("fd_sync", "x"),
            guest.exports["fd_sync"].__call__,
            lambda: guest.exports["fd_sync"](None, 1),
            lambda: guest.exports["fd_sync"](store=guest.store),
        ]
        found = [outcome(one) for one in tries]
        guest.store.close()
        return [
            *found,
            outcome(lambda: guest("fd_sync", 1)),
            outcome(lambda: wasmtime.Module(engine, "(nope")),
        ]

    plain = run()
    with instrumentation(telemetry, output=True):
        assert run() == plain


TWO_ENGINES = """
import sys, wasmtime
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
if sys.argv[1] == "probe":
    WasmtimeInstrumentor().instrument(probe=True)
linker, store = wasmtime.Linker(wasmtime.Engine()), wasmtime.Store()
linker.define_wasi()
text = '''(module (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
  (memory (export "memory") 1))'''
try:
    linker.instantiate(store, wasmtime.Module(store.engine, text))
except wasmtime.WasmtimeError as error:
    print(error)
"""


def test_a_store_of_another_engine_fails_in_the_same_way() -> None:
    """The oldest version ends the process, the newest raises."""
    plain, probe = (
        subprocess.run([sys.executable, "-c", TWO_ENGINES, mode], capture_output=True, text=True, check=False)
        for mode in ("plain", "probe")
    )
    assert plain.stdout or plain.returncode
    assert (probe.returncode, probe.stdout) == (plain.returncode, plain.stdout)


def test_an_instance_is_an_instance(instrumented: Telemetry, start: Start, engine: Any) -> None:
    guest = start()
    assert store_probe(guest.store) is not None
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    instance = linker.instantiate(guest.store, wasmtime.Module(engine, '(module (func (export "f")))'))
    assert type(instance) is wasmtime.Instance
    assert set(guest.exports) == {*FUNCTIONS, "memory"}


def test_the_probes_own_modules_are_not_in_the_metrics(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert store_probe(guest.store) is not None
    guest("fd_sync", 1)
    assert instrumented.points("wasm.active.instances") == [({}, 1)]
    assert instrumented.points("wasm.memory.usage") == [({}, 2 * 65536)]
    assert len(instrumented.points("wasm.instance.creation.duration")) == 1
    assert [span.name for span in instrumented.spans()] == ["wasm fd_sync"]


def test_stores_are_freed_without_a_collection(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.write(1, b"x") == 0
    gc.collect()
    functions = len(getattr(HOST_FUNCTIONS, "handles", ()))
    store = weakref.ref(guest.store)
    gc.disable()
    try:
        del guest
        assert store() is None, "without a collection: nothing refers back to it"
    finally:
        gc.enable()
    assert len(getattr(HOST_FUNCTIONS, "handles", ())) <= functions


def test_a_store_may_be_closed(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    guest.store.close()
    with pytest.raises(ValueError, match="already closed"):
        guest("fd_sync", 1)
    assert store_probe(start().store) is not None


def test_threads_have_their_own_stores(instrumented: Telemetry, start: Start) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            guest = start()
            for _ in range(50):
                assert guest.write(1, str(number).encode()) == 0
                assert guest.open(b"missing") == 44
        except BaseException as error:  # noqa: BLE001 -- all are compared
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert instrumented.points("wasm.file.operations") == [({}, 300)]


def test_exceptions_of_host_functions_cross_unchanged(
    instrumented: Telemetry, start: Start, text: Text
) -> None:
    mine = RuntimeError("mine")

    def prepare(linker: wasmtime.Linker, _store: wasmtime.Store) -> None:
        def raising() -> None:
            raise mine

        linker.define_func("h", "f", wasmtime.FuncType([], []), raising)

    source = text(["fd_sync"], '(func (export "run") (call $f))')
    guest = start(source.replace("(memory", '(import "h" "f" (func $f)) (memory', 1), prepare=prepare)
    with pytest.raises(RuntimeError) as caught:
        guest("run")
    assert caught.value is mine
    assert guest("fd_sync", 99) == 8


@pytest.mark.parametrize("settings", [{"output": True}])
def test_ctrl_c_waits_for_the_guest_and_is_not_lost(
    instrumented: Telemetry, start: Start, text: Text, tmp_path: Path
) -> None:
    more = """(func (export "many") (param $n i32)
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 4))
      (loop (drop (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))))"""
    out = tmp_path / "out"
    guest = start(text(["fd_write"], more), lambda config: setattr(config, "stdout_file", str(out)))

    def interrupt() -> None:
        while out.stat().st_size == 0:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    def run() -> None:
        guest("many", 20000)
        time.sleep(60)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run()
    thread.join()
    assert out.stat().st_size == 80000
    instrumented.clear()
    assert guest.write(1, b"more") == 0
    assert next(log.log_record.body for log in instrumented.logs()) == "more"


def test_uninstrument_restores_every_attribute(telemetry: Telemetry) -> None:
    owners = (wasmtime.Func, wasmtime.Linker, wasmtime.Module, wasmtime.Store)

    def state() -> list[dict[str, Any]]:
        return [dict(vars(owner)) for owner in owners]

    before = state()
    with instrumentation(telemetry, output=True):
        assert all(now != then for now, then in zip(state(), before, strict=True))
    assert state() == before


def test_a_deep_backtrace_loses_no_more_than_its_outermost_frames(
    telemetry: Telemetry, start: Start, text: Text
) -> None:
    more = """(func $deep (export "deep") (param i32) (result i32)
      (if (result i32) (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
        (else (call $wasi_fd_write (i32.const 1) (i32.const 0x7fffffff) (i32.const 1) (i32.const 8)))))"""

    def frames() -> list[str]:
        guest = start(text(["fd_write"], more))
        with pytest.raises(wasmtime.WasmtimeError) as caught:
            guest("deep", 50)
        return [line for line in said(caught.value).split("\n") if "caller!" in line]

    plain = frames()
    with instrumentation(telemetry, probe=True):
        found = frames()
    # The newest version shows 20 frames, of which the probe takes two; the oldest shows all.
    assert found == plain[: len(found)]
    assert len(found) in {len(plain) - 2, len(plain)}


def test_guests_go_on_after_uninstrument(telemetry: Telemetry, start: Start, data: Path) -> None:
    with instrumentation(telemetry, output=True):
        guest = start()
        assert guest.open(b"file") == 0
    counted = telemetry.points("wasm.file.operations")
    guest.put(0, 1024, 100)
    assert guest("fd_read", guest.get(8), 0, 1, 12) == 0
    assert guest.memory(1024, 7) == b"content"
    assert telemetry.points("wasm.file.operations") == counted
    assert store_probe(start().store) is None
