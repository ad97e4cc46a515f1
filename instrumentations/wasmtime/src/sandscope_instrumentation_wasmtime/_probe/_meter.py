"""The module after the guest: calls the real WASI functions with the guest's memory, and keeps the ledger.

It never calls into Python. A signal's handler that raises in there, such as that of Ctrl-C, would be lost in
wasmtime's callback, or end the process.
"""

from __future__ import annotations

from sandscope_instrumentation_wasmtime._probe import _layout as at
from sandscope_instrumentation_wasmtime._probe._entries import ENTRIES, add, is_stream
from sandscope_instrumentation_wasmtime._probe._gate import arguments, signature
from sandscope_instrumentation_wasmtime._probe._syscalls import NAMES, SYSCALLS

NAME = "sandscope_meter"

_COUNTERS = {"file": ("operations", "errors"), "network": ("requests", "failed")}
_MOVED = {
    ("file", "in"): "read",
    ("file", "out"): "written",
    ("network", "in"): "received",
    ("network", "out"): "sent",
}


def meter(names: tuple[str, ...]) -> str:
    """Return its text.

    Args:
        names: of the functions, in the order of the gate's table.
    """
    imports = "\n".join(f'(import "wasi" "{name}" (func $wasi_{name} {signature(name)}))' for name in names)
    functions = "\n".join(_function(name) for name in names)
    elements = " ".join(f"${name}" for name in names)
    return f"""(module ${NAME}
(import "guest" "memory" (memory $guest 0))
(import "host" "ledger" (memory $ledger {at.PAGES} {at.PAGES}))
(import "gate" "table" (table {len(names)} {len(names)} funcref))
{imports}
(export "memory" (memory $guest))
(elem (i32.const 0) {elements})
{ENTRIES}
{functions})"""


def _function(name: str) -> str:
    errno = f"(local.get {len(SYSCALLS[name].parameters)})"
    before, after = _around(name, errno)
    return (
        f"(func ${name} {signature(name)} (local $errno i32) (local $stdio i32)\n"
        f"{before}\n(local.set $errno (call $wasi_{name} {arguments(name)}))\n{after}\n{errno})"
    )


def _around(name: str, errno: str) -> tuple[str, str]:
    """Return what comes before and after the call of a WASI function."""
    syscall = SYSCALLS[name]
    if syscall.counted is None:
        return "", f"(if (i32.eqz {errno}) (then (call $add_{name} (local.get 0) (local.get 1))))"
    counted, failed = _COUNTERS[syscall.counted]
    after = f"{add(counted)}\n(if {errno} (then {add(failed)})"
    if syscall.moved is not None:
        after += f" (else {add(_MOVED[syscall.counted, syscall.moved], _size(name))})"
    after += ")"
    if syscall.path is not None:
        path = f"(local.get {syscall.path}) (local.get {syscall.path + 1})"
        after += f"\n(if (call $is_denial {errno}) (then"
        after += f" (call $deny (i32.const {NAMES.index(name)}) {errno} {path})))"
        return "", after
    if syscall.counted == "network":
        return "", after
    before = f"(local.set $stdio {is_stream('(local.get 0)')})"
    after = f"(if (local.get $stdio) (then {_stdio(name, errno)}) (else {after}))"
    if name in {"fd_close", "fd_renumber"}:
        closed = "".join(f"(call $close (local.get {index}))" for index in range(len(syscall.parameters)))
        after += f"(if (i32.eqz {errno}) (then {closed}))"
    return before, after


def _stdio(name: str, errno: str) -> str:
    if name != "fd_write":
        return ""
    taken = "(call $output (local.get 0) (local.get 1) (local.get 2) (i32.load $guest (local.get 3)))"
    return f"(if (i32.eqz {errno}) (then {taken}))"


def _size(name: str) -> str:
    return f"(i64.extend_i32_u (i32.load $guest (local.get {SYSCALLS[name].size})))"
