"""A typical plugin host with wasmtime: python app.py PLUGIN.wasm FOLDER."""

import sys
from pathlib import Path

import wasmtime
from wasmtime import Config, Engine, Module, Store

PLUGIN, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
GREETER = '(module $greeter (import "host" "greet" (func $greet)) (func (export "run") (call $greet)))'
BROKEN = """(module $broken (memory (export "memory") 1)
  (func (export "run") (drop (i32.load (i32.const 65536)))))"""
HUNGRY = '(module $hungry (memory (export "memory") 64) (func (export "run")))'
ENDLESS = '(module $endless (func (export "run") (loop (br 0))))'
NOSY = '(module $nosy (import "host" "secrets" (func)) (func (export "run")))'


def plugin() -> None:
    """Run a plugin that may only access one folder; cache its compiled code."""
    config, wasi = Config(), wasmtime.WasiConfig()
    config.cache = str(FOLDER.parent / "cache.toml")
    wasi.preopen_dir(str(FOLDER), "/data")
    wasi.inherit_stdout()
    store = Store(Engine(config))
    store.set_wasi(wasi)
    run(store, Module.from_file(store.engine, str(PLUGIN)), "_start")


def run(store: Store, module: Module, function: str = "run") -> None:
    """Run a module with this host's functions, and print its error if it fails."""
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    linker.define_func("host", "greet", wasmtime.FuncType([], []), lambda: print("greeted"))
    try:
        linker.instantiate(store, module).exports(store)[function](store)
    except (wasmtime.Trap, wasmtime.ExitTrap, wasmtime.WasmtimeError) as error:
        print(function, "ended:", str(error).strip().splitlines()[-1].strip())


(FOLDER.parent / "cache.toml").write_text(f'[cache]\ndirectory = "{FOLDER.parent / "cache"}"\n')
plugin()
plugin()
metered = Config()
metered.consume_fuel = True
limited, fuelled, plain = Store(), Store(Engine(metered)), Store()
limited.set_limits(memory_size=1 << 20)
fuelled.set_fuel(10_000)
for place, text in ((plain, GREETER), (plain, BROKEN), (limited, HUNGRY), (fuelled, ENDLESS), (plain, NOSY)):
    run(place, Module(place.engine, text))
