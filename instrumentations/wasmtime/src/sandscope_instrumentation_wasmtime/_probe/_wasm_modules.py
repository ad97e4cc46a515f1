"""The text of the two modules that the probe puts between a guest and WASI.

A WASI function finds the guest's memory among the exports of the instance that calls it. So what counts calls of
WASI has to be an instance that exports the guest's memory, and it can be made only after the guest. Guests need their
imports before that: they get *trampolines*, which call through a table that the *counting module* fills later.

Guests are hostile. The counting module must not trap: it checks each address that WASI has not used itself.
"""

from __future__ import annotations

from sandscope_instrumentation_wasmtime._probe import _probe_memory as at
from sandscope_instrumentation_wasmtime._probe._wasi_functions import DENIED, FUNCTIONS, NAMES


def trampolines(names: tuple[str, ...]) -> str:
    """Return the module that is instantiated before the guest.

    Args:
        names: of the functions, in the order of the table.
    """
    functions = "\n".join(
        f"(type ${name} (func {_signature(name)}))\n"
        f'(func ${name} (export "{name}") (type ${name})'
        f" (call_indirect (type ${name}) {_arguments(name)} (i32.const {index})))"
        for index, name in enumerate(names)
    )
    size = len(names)
    return f'(module $sandscope_trampolines\n{functions}\n(table (export "table") {size} {size} funcref))'


def counting_module(names: tuple[str, ...]) -> str:
    """Return the module that is instantiated after the guest.

    Args:
        names: of the functions, in the order of the table.
    """
    imports = "\n".join(f'(import "wasi" "{name}" (func $wasi_{name} {_signature(name)}))' for name in names)
    elements = " ".join(f"${name}" for name in names)
    functions = "\n".join(_function(name) for name in names)
    return f"""(module $sandscope_counters
(import "guest" "memory" (memory $guest 0))
(import "host" "memory" (memory $probe {at.PAGES} {at.PAGES}))
(import "trampolines" "table" (table {len(names)} {len(names)} funcref))
{imports}
(export "memory" (memory $guest))
(elem (i32.const 0) {elements})
{_STREAMS}{_DENIALS}{_OUTPUT}{functions})"""


def _signature(name: str) -> str:
    return f"(param {' '.join(FUNCTIONS[name].parameters)}) (result i32)"


def _arguments(name: str) -> str:
    return " ".join(f"(local.get {index})" for index in range(len(FUNCTIONS[name].parameters)))


def _function(name: str) -> str:
    """Return what calls a WASI function and counts."""
    call = f"(local.set $errno (call $wasi_{name} {_arguments(name)}))"
    count = _count(name)
    if name.startswith("fd_"):  # before the call, which may close the descriptor
        call = f"(local.set $stream (call $is_stream (local.get 0)))\n{call}"
        count = f"(if (local.get $stream) (then {_keep(name)}) (else {count}))"
    if name in {"fd_close", "fd_renumber"}:
        closed = "".join(f"(call $close (local.get {i}))" for i in range(len(FUNCTIONS[name].parameters)))
        count += f"\n(if (i32.eqz (local.get $errno)) (then {closed}))"
    local = "(local $errno i32) (local $stream i32)"
    return f"(func ${name} {_signature(name)} {local}\n{call}\n{count}\n(local.get $errno))"


def _count(name: str) -> str:
    function = FUNCTIONS[name]
    calls, errors = (
        ("network.requests", "network.errors")
        if name.startswith("sock_")
        else ("file.operations", "file.errors")
    )
    failed, succeeded = _add(errors), ""
    if function.path is not None:
        path = f"(local.get {function.path}) (local.get {function.path + 1})"
        failed += f"\n(call $deny (i32.const {NAMES.index(name)}) (local.get $errno) {path})"
    if function.bytes is not None:
        succeeded = _add(function.bytes, f"(i64.extend_i32_u (i32.load $guest (local.get {function.size})))")
    return f"{_add(calls)}\n(if (local.get $errno) (then {failed}) (else {succeeded}))"


def _keep(name: str) -> str:
    if name != "fd_write":
        return ""
    written = "(call $output (local.get 0) (local.get 1) (local.get 2) (i32.load $guest (local.get 3)))"
    return f"(if (i32.eqz (local.get $errno)) (then {written}))"


def _add(counter: str, value: str = "(i64.const 1)") -> str:
    # No function of the module: that would make each call of WASI a nanosecond slower.
    place = f"offset={8 * at.COUNTERS.index(counter)} (i32.const 0)"
    return f"(i64.store $probe {place} (i64.add (i64.load $probe {place}) {value}))"


def _is_any(value: str, numbers: tuple[int, ...]) -> str:
    first, *rest = (f"(i32.eq {value} (i32.const {number}))" for number in numbers)
    return " ".join(f"(i32.or {one}" for one in rest) + first + ")" * len(rest)


_STREAMS = f"""
(func $is_stream (param $fd i32) (result i32)
  (i32.and (i32.lt_u (local.get $fd) (i32.const 3))
    (i32.shr_u (i32.load $probe (i32.const {at.STREAMS})) (local.get $fd))))
(func $close (param $fd i32)
  (if (i32.lt_u (local.get $fd) (i32.const 3)) (then
    (i32.store $probe (i32.const {at.STREAMS}) (i32.and (i32.load $probe (i32.const {at.STREAMS}))
      (i32.xor (i32.const -1) (i32.shl (i32.const 1) (local.get $fd))))))))
(func $is_inside (param $start i32) (param $size i32) (result i32)
  (i64.le_u (i64.add (i64.extend_i32_u (local.get $start)) (i64.extend_i32_u (local.get $size)))
    (i64.shl (i64.extend_i32_u (memory.size $guest)) (i64.const 16))))
"""

_DENIALS = f"""
(func $deny (param $function i32) (param $errno i32) (param $path i32) (param $size i32)
  (local $count i32) (local $at i32)
  (if (i32.eqz {_is_any("(local.get $errno)", tuple(DENIED))}) (then (return)))
  {_add("denied")}
  (local.set $count (i32.load $probe (i32.const {at.DENIALS})))
  (if (i32.ge_u (local.get $count) (i32.const {at.MOST_DENIALS})) (then (return)))
  (i32.store $probe (i32.const {at.DENIALS}) (i32.add (local.get $count) (i32.const 1)))
  (if (i32.gt_u (local.get $size) (i32.const {at.LONGEST_PATH}))
    (then (local.set $size (i32.const {at.LONGEST_PATH}))))
  (if (i32.eqz (call $is_inside (local.get $path) (local.get $size))) (then
    (local.set $path (i32.const 0)) (local.set $size (i32.const 0))))
  (local.set $at (i32.add (i32.const {at.DENIALS_AT})
    (i32.mul (local.get $count) (i32.const {at.DENIAL.size}))))
  (i32.store $probe (local.get $at) (local.get $function))
  (i32.store $probe offset=4 (local.get $at) (local.get $errno))
  (i32.store $probe offset=8 (local.get $at) (local.get $size))
  (memory.copy $probe $guest
    (i32.add (local.get $at) (i32.const 12)) (local.get $path) (local.get $size)))
"""

_OUTPUT = f"""
(func $output (param $fd i32) (param $array i32) (param $count i32) (param $left i32)
  (local $start i32) (local $size i32)
  (if (i32.eqz (i32.load $probe (i32.const {at.ROOM}))) (then (return)))
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $left)))
    (br_if $done (i32.eqz (local.get $count)))
    (br_if $done (i32.eqz (call $is_inside (local.get $array) (i32.const 8))))
    (local.set $start (i32.load $guest (local.get $array)))
    (local.set $size (i32.load $guest offset=4 (local.get $array)))
    (if (i32.gt_u (local.get $size) (local.get $left)) (then (local.set $size (local.get $left))))
    (br_if $done (i32.eqz (call $is_inside (local.get $start) (local.get $size))))
    (if (local.get $size) (then (call $keep (local.get $fd) (local.get $start) (local.get $size))))
    (local.set $left (i32.sub (local.get $left) (local.get $size)))
    (local.set $array (i32.add (local.get $array) (i32.const 8)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (br $next))))
(func $keep (param $fd i32) (param $start i32) (param $size i32)
  (local $used i32) (local $room i32) (local $at i32)
  (local.set $used (i32.load $probe (i32.const {at.USED})))
  (local.set $room (i32.sub (i32.load $probe (i32.const {at.ROOM})) (local.get $used)))
  (if (i32.le_u (local.get $room) (i32.const {at.WRITE.size})) (then
    (i32.store $probe (i32.const {at.LOST}) (i32.const 1)) (return)))
  (local.set $room (i32.sub (local.get $room) (i32.const {at.WRITE.size})))
  (if (i32.gt_u (local.get $size) (local.get $room)) (then
    (i32.store $probe (i32.const {at.LOST}) (i32.const 1))
    (local.set $size (local.get $room))))
  (local.set $at (i32.add (i32.const {at.OUTPUT_AT}) (local.get $used)))
  (i32.store $probe (local.get $at) (local.get $fd))
  (i32.store $probe offset=4 (local.get $at) (local.get $size))
  (memory.copy $probe $guest
    (i32.add (local.get $at) (i32.const {at.WRITE.size})) (local.get $start) (local.get $size))
  (i32.store $probe (i32.const {at.USED})
    (i32.add (local.get $used) (i32.add (local.get $size) (i32.const {at.WRITE.size})))))
"""
