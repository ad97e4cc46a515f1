"""A program gets the same answers with the probe: results, error numbers, memory, files and exceptions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings, strategies

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
