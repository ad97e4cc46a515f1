"""Claim: calls that are instrumented take little longer than plain calls.

`breakeven_ms_for_0.1pct_*` is the duration, in milliseconds, of a call for which the overhead is 0.1 %.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from benchmarks._rounds import Case, measure
from benchmarks._subjects import Subject, for_instrumentations, wasm_functions
from sandscope.instrumentation import RuntimeInstrumentor
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor


def run(*, short: bool) -> dict[str, float]:
    """Compare patched and plain calls of each runtime."""
    subject = for_instrumentations()
    cases = {**_wasm(subject), **_subprocess(subject)}
    least = measure(cases, 8 if short else 30)
    WasmtimeInstrumentor().uninstrument()
    names = [name.removesuffix(" plain") for name in cases if name.endswith(" plain")]
    result = {
        f"wrapped_over_plain_{name}": least[f"{name} patched"] / least[f"{name} plain"] for name in names
    }
    for name in names:
        # The overhead is a thousandth of this duration.
        over = least[f"{name} patched"] - least[f"{name} plain"]
        result[f"breakeven_ms_for_0.1pct_{name}"] = over / 1e6 * 1000
    return result


def _pair(
    name: str, plain: Callable[[], Any], patched: Callable[[], Any], subject: Subject
) -> dict[str, Case]:
    return {
        f"{name} plain": Case(plain, after=subject.flush),
        f"{name} patched": Case(patched, after=subject.flush, most=2000),
    }


def _wasm(subject: Subject) -> dict[str, Case]:
    WasmtimeInstrumentor().instrument()
    store, nop, add = wasm_functions()
    patched = type(nop).__call__
    plain = patched.__wrapped__
    return {
        **_pair("wasm_nop", lambda: plain(nop, store), lambda: patched(nop, store), subject),
        **_pair("wasm_add", lambda: plain(add, store, 1, 2), lambda: patched(add, store, 1, 2), subject),
    }


def _subprocess(subject: Subject) -> dict[str, Case]:
    from sandscope_instrumentation_subprocess import SubprocessInstrumentor

    def true() -> None:
        subprocess.run(["/bin/true"], check=True)

    return _switched("subprocess", true, SubprocessInstrumentor(), subject)


def _switched(
    name: str, function: Callable[[], Any], instrumentor: RuntimeInstrumentor, subject: Subject
) -> dict[str, Case]:
    """Return two cases for one function; it is patched only while the second case is measured."""

    def on() -> None:
        instrumentor.instrument()
        function()

    def off() -> None:
        instrumentor.uninstrument()
        subject.flush()

    plain = Case(function, before=function)
    return {f"{name} plain": plain, f"{name} patched": Case(function, before=on, after=off, most=2000)}
