"""The engine's cache of compiled modules: it tells nobody, but a module that is new to it becomes a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sandscope.instrumentation import Metric, Patches, Recorder, report_error
from sandscope_instrumentation_wasmtime._after_call import after_success

HITS = Metric("wasm.module.cache.hits", "counter", "{hit}", "Modules that the engine's cache had")
MISSES = Metric("wasm.module.cache.misses", "counter", "{miss}", "Modules that were compiled into the cache")
SIZE = Metric("wasm.module.cache.size", "gauge", "{module}", "Modules in the cache that was used last")

_FOLDER = "_sandscope_cache"
"""The attribute of a configuration, and then of its engine, that says where the cache is."""

_DIRECTORY = re.compile(r"""^\s*directory\s*=\s*(?:'([^'\n]+)'|"([^"\\\n]+)")""", re.MULTILINE)


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Follow the compilation of core modules, and which engine has a cache."""
    patches.replace(wasmtime.Config, "cache", after_success("wasmtime.cache", _configured))
    patches.replace(wasmtime.Engine, "__init__", after_success("wasmtime.cache", _made))
    patches.replace(wasmtime.Module, "__init__", _compiling(recorder))


def patch_component(component: Any, patches: Patches, recorder: Recorder) -> None:
    """Follow the compilation of components."""
    patches.replace(component.Component, "__init__", _compiling(recorder))


def _configured(_: None, config: Any, enabled: bool | str) -> None:
    setattr(config, _FOLDER, _folder(enabled))


def _made(_: None, engine: Any, config: Any = None) -> None:
    folder = getattr(config, _FOLDER, None)
    if folder is not None:
        setattr(engine, _FOLDER, folder)


def _compiling(recorder: Recorder) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def compile_module(*args: Any, **kwargs: Any) -> Any:
            engine = kwargs.get("engine", args[1] if len(args) > 1 else None)
            folder: Path | None = getattr(engine, _FOLDER, None)
            if folder is None:
                return original(*args, **kwargs)
            before = _modules(folder)
            result = original(*args, **kwargs)
            after = _modules(folder)
            if after:  # else it is off, or elsewhere
                recorder.measure(MISSES if after - before else HITS, 1)
                recorder.measure(SIZE, len(after))
            return result

        return compile_module

    return wrap


def _modules(folder: Path) -> frozenset[str]:
    """Return the names of the modules in a cache; statistics and files half written have a dot in theirs."""
    try:
        compilers = [entry for entry in os.scandir(folder / "modules") if entry.is_dir()]
        return frozenset(
            entry.name for compiler in compilers for entry in os.scandir(compiler) if "." not in entry.name
        )
    except FileNotFoundError:
        return frozenset()  # the first module makes the folder
    except OSError as error:
        report_error("wasmtime.cache", error)
        return frozenset()


def _folder(enabled: bool | str) -> Path | None:
    """Return where the engine keeps its cache, or None where only the engine knows."""
    home = Path.home()
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "wasmtime" / "config.toml"
    if isinstance(enabled, str):
        settings = Path(enabled)
    text = settings.read_text("utf-8") if settings.exists() else ""
    named = _DIRECTORY.search(text)
    if named:
        return Path(named.group(1) or named.group(2))
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "wasmtime"
