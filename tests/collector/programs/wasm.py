"""Knows nothing of telemetry: a module cache, limits, fuel, a host function, WASI files, a denied path, traps."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import wasmtime

DATA = Path(sys.argv[1])
WASI = """(module $files
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "new.txt") (data (i32.const 16) "../secret") (data (i32.const 32) "hello")
  (data (i32.const 64) "\\20\\00\\00\\00\\05\\00\\00\\00")
  (func (export "files") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 1)
      (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 80)))
    (drop (call $write (i32.load (i32.const 80)) (i32.const 64) (i32.const 1) (i32.const 84)))
    (drop (call $read (i32.load (i32.const 80)) (i32.const 64) (i32.const 1) (i32.const 84)))
    (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 80)))
  (func (export "network") (result i32)
    (call $send (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 0) (i32.const 84))))"""
WORK = """(module $work (import "host" "f" (func $host)) (memory (export "memory") 1 2)
  (func (export "run") (param i32) (call $host)
    (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
  (func (export "trap") (drop (i32.load (i32.const 1000000)))))"""


def say(*words: str) -> None:
    """Tell the test what happened."""
    sys.stdout.write(" ".join(words) + "\n")


def files() -> None:
    """Let a WASI guest write and read a file, ask for one outside of its folder, and use a socket."""
    store = wasmtime.Store()
    config = wasmtime.WasiConfig()
    config.preopen_dir(str(DATA), "/")
    store.set_wasi(config)
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    exports: Any = linker.instantiate(store, wasmtime.Module(store.engine, WASI)).exports(store)
    say("denied" if exports["files"](store) else "open", "no socket" if exports["network"](store) else "sent")


def work() -> None:
    """Let a guest with fuel and a memory limit run, run out of fuel, and leave its memory."""
    (DATA / "cache.toml").write_text(f"[cache]\ndirectory = '{DATA / 'cache'}'\n")
    config = wasmtime.Config()
    config.consume_fuel = True
    config.cache = str(DATA / "cache.toml")
    engine = wasmtime.Engine(config)
    for fuel in (1_000_000, 500):
        store = wasmtime.Store(engine)
        store.set_limits(memory_size=1 << 20)
        store.set_fuel(fuel)
        linker = wasmtime.Linker(engine)
        linker.define_func("host", "f", wasmtime.FuncType([], []), lambda: None)
        exports: Any = linker.instantiate(store, wasmtime.Module(engine, WORK)).exports(store)
        for name, arguments in (("run", (1000,)), ("trap", ())):
            try:
                exports[name](store, *arguments)
                say(name, "returned")
            except wasmtime.Trap as error:
                say(name, error.trap_code.name if error.trap_code else "?")
    kept.append(store)


def early() -> None:
    """Let a guest trap in its start function, and call another one with an argument too many."""
    store = wasmtime.Store()
    for text in ("(module (func $start unreachable) (start $start))", "(module)"):
        try:
            wasmtime.Instance(store, wasmtime.Module(store.engine, text), [])
        except wasmtime.Trap as error:
            say("start", error.trap_code.name if error.trap_code else "?")
    function = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
    try:
        function(store, 1)
    except wasmtime.WasmtimeError:
        say("not called")


kept: list[wasmtime.Store] = []
files()
early()
work()
gc.collect()  # instances that are not used any more are destroyed when the collector finds them
