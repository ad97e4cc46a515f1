"""The module before the guest: one function for each that it imports, which calls through a table.

A WASI function finds the guest's memory by asking its caller for it. So what stands around it has to be
wasm that exports that memory, and can only be made when the guest is there: after its imports.
"""

from __future__ import annotations

from sandscope_instrumentation_wasmtime._probe._syscalls import SYSCALLS

NAME = "sandscope_gate"


def gate(names: tuple[str, ...]) -> str:
    """Return its text.

    Args:
        names: of the functions, in the order of the table.
    """
    functions = "\n".join(_function(index, name) for index, name in enumerate(names))
    return f'(module ${NAME}\n(table (export "table") {len(names)} {len(names)} funcref)\n{functions})'


def _function(index: int, name: str) -> str:
    return (
        f"(type ${name} (func {signature(name)}))\n"
        f'(func (export "{name}") (type ${name})'
        f" (call_indirect (type ${name}) {arguments(name)} (i32.const {index})))"
    )


def signature(name: str) -> str:
    """Return parameters and result of a function."""
    return f"(param {' '.join(SYSCALLS[name].parameters)}) (result i32)"


def arguments(name: str) -> str:
    """Return what passes all parameters on."""
    return " ".join(f"(local.get {index})" for index in range(len(SYSCALLS[name].parameters)))
