"""What every meter has: the functions that write the ledger.

Guests are hostile. An address that WASI has taken is inside their memory; any other is looked at first, so
that nothing in here can trap.
"""

from __future__ import annotations

from sandscope_instrumentation_wasmtime._probe import _layout as at
from sandscope_instrumentation_wasmtime._probe._syscalls import DENIALS, STDIO


def add(counter: str, value: str = "(i64.const 1)") -> str:
    """Return what adds to a counter; not a function, which would cost each call of WASI a nanosecond more."""
    place = f"offset={at.AT[counter]} (i32.const 0)"
    return f"(i64.store $ledger {place} (i64.add (i64.load $ledger {place}) {value}))"


def is_stream(descriptor: str) -> str:
    """Return what asks whether a descriptor is a standard stream of the host's."""
    streams = f"(i32.load $ledger (i32.const {at.STDIO}))"
    return f"(i32.and (i32.lt_u {descriptor} (i32.const {STDIO})) (i32.shr_u {streams} {descriptor}))"


_MOST_PIECES = 1024
"""Of one write: an array of empty ones may have any length."""

_STREAMS = f"""
(func $close (param $fd i32)
  (if (i32.lt_u (local.get $fd) (i32.const {STDIO})) (then
    (i32.store $ledger (i32.const {at.STDIO}) (i32.and (i32.load $ledger (i32.const {at.STDIO}))
      (i32.xor (i32.const -1) (i32.shl (i32.const 1) (local.get $fd))))))))
(func $is_inside (param $start i64) (param $size i64) (result i32)
  (i64.le_u (i64.add (local.get $start) (local.get $size))
    (i64.shl (i64.extend_i32_u (memory.size $guest)) (i64.const 16))))
"""

_IS_DENIAL = "\n".join(
    f"  (if (i32.eq (local.get $errno) (i32.const {number})) (then (return (i32.const 1))))"
    for number in DENIALS
)
_DENIALS = f"""
(func $is_denial (param $errno i32) (result i32)
{_IS_DENIAL}
  (i32.const 0))
(func $deny (param $function i32) (param $errno i32) (param $path i32) (param $size i32)
  (local $slot i32) (local $used i32)
  {add("denied")}
  (local.set $used (i32.load $ledger (i32.const {at.DENIALS})))
  (if (i32.ge_u (local.get $used) (i32.const {at.SLOTS})) (then (return)))
  (if (i32.gt_u (local.get $size) (i32.const {at.PATH})) (then (local.set $size (i32.const {at.PATH}))))
  (if (i32.eqz (call $is_inside (i64.extend_i32_u (local.get $path)) (i64.extend_i32_u (local.get $size))))
    (then (local.set $size (i32.const 0))))
  (local.set $slot (i32.add (i32.const {at.SLOTS_AT})
    (i32.mul (local.get $used) (i32.const {at.SLOT_SIZE}))))
  (i32.store $ledger (local.get $slot) (local.get $function))
  (i32.store $ledger offset=4 (local.get $slot) (local.get $errno))
  (i32.store $ledger offset=8 (local.get $slot) (local.get $size))
  (if (local.get $size) (then (memory.copy $ledger $guest
    (i32.add (local.get $slot) (i32.const {at.SLOT.size})) (local.get $path) (local.get $size))))
  (i32.store $ledger (i32.const {at.DENIALS}) (i32.add (local.get $used) (i32.const 1))))
"""

_OUTPUT = f"""
(func $output (param $fd i32) (param $vector i32) (param $count i32) (param $left i32)
  (local $start i32) (local $size i32) (local $pieces i32)
  (if (i32.eqz (i32.load $ledger (i32.const {at.ROOM}))) (then (return)))
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $left)))
    (br_if $done (i32.ge_u (local.get $pieces) (local.get $count)))
    (br_if $done (i32.ge_u (local.get $pieces) (i32.const {_MOST_PIECES})))
    (br_if $done (i32.eqz (call $is_inside (i64.extend_i32_u (local.get $vector)) (i64.const 8))))
    (local.set $start (i32.load $guest (local.get $vector)))
    (local.set $size (i32.load $guest offset=4 (local.get $vector)))
    (if (i32.gt_u (local.get $size) (local.get $left)) (then (local.set $size (local.get $left))))
    (br_if $done (i32.eqz (call $is_inside
      (i64.extend_i32_u (local.get $start)) (i64.extend_i32_u (local.get $size)))))
    (if (local.get $size) (then (call $keep (local.get $fd) (local.get $start) (local.get $size))))
    (local.set $left (i32.sub (local.get $left) (local.get $size)))
    (local.set $vector (i32.add (local.get $vector) (i32.const 8)))
    (local.set $pieces (i32.add (local.get $pieces) (i32.const 1)))
    (br $next))))
(func $keep (param $fd i32) (param $start i32) (param $size i32)
  (local $used i32) (local $room i32) (local $last i32)
  (local.set $used (i32.load $ledger (i32.const {at.USED})))
  (local.set $room (i32.sub (i32.load $ledger (i32.const {at.ROOM})) (local.get $used)))
  (local.set $last (i32.load $ledger (i32.const {at.LAST})))
  (if (i32.or (i32.eqz (local.get $last))
      (i32.ne (i32.load $ledger (local.get $last)) (local.get $fd))) (then
    (if (i32.le_u (local.get $room) (i32.const {at.PIECE.size})) (then
      (i32.store $ledger (i32.const {at.LOST}) (i32.const 1)) (return)))
    (local.set $last (i32.add (i32.const {at.OUTPUT_AT}) (local.get $used)))
    (i32.store $ledger (i32.const {at.LAST}) (local.get $last))
    (i32.store $ledger (local.get $last) (local.get $fd))
    (i32.store $ledger offset=4 (local.get $last) (i32.const 0))
    (local.set $used (i32.add (local.get $used) (i32.const {at.PIECE.size})))
    (local.set $room (i32.sub (local.get $room) (i32.const {at.PIECE.size})))))
  (if (i32.gt_u (local.get $size) (local.get $room)) (then
    (i32.store $ledger (i32.const {at.LOST}) (i32.const 1))
    (local.set $size (local.get $room))))
  (memory.copy $ledger $guest
    (i32.add (i32.const {at.OUTPUT_AT}) (local.get $used)) (local.get $start) (local.get $size))
  (i32.store $ledger offset=4 (local.get $last)
    (i32.add (i32.load $ledger offset=4 (local.get $last)) (local.get $size)))
  (i32.store $ledger (i32.const {at.USED}) (i32.add (local.get $used) (local.get $size))))
"""

_ENVIRONMENT = f"""
(global $block (mut i32) (i32.const 0))
(global $variables (mut i32) (i32.const 0))
(global $bytes (mut i32) (i32.const 0))
(func $add_environ_sizes_get (param $count i32) (param $size i32)
  (local $block i32)
  (local.set $block (i32.load $ledger (i32.const {at.ENVIRONMENT})))
  (global.set $block (i32.const 0))
  (if (i32.eqz (local.get $block)) (then (return)))
  (if (i32.eq (local.get $count) (local.get $size)) (then (return)))
  (global.set $variables (i32.load $guest (local.get $count)))
  (global.set $bytes (i32.load $guest (local.get $size)))
  (if (i32.lt_u (global.get $variables) (i32.load $ledger (local.get $block))) (then (return)))
  (if (i32.lt_u (global.get $bytes) (i32.load $ledger offset=4 (local.get $block))) (then (return)))
  (global.set $block (local.get $block))
  (global.set $variables
    (i32.sub (global.get $variables) (i32.load $ledger (local.get $block))))
  (global.set $bytes
    (i32.sub (global.get $bytes) (i32.load $ledger offset=4 (local.get $block))))
  (i32.store $guest (local.get $count)
    (i32.add (global.get $variables) (i32.load $ledger offset=8 (local.get $block))))
  (i32.store $guest (local.get $size)
    (i32.add (global.get $bytes) (i32.load $ledger offset=12 (local.get $block)))))
(func $add_environ_get (param $pointers i32) (param $start i32)
  (local $block i32) (local $index i32) (local $count i32) (local $size i32) (local $offsets i32)
  (local.set $block (global.get $block))
  (if (i32.eqz (local.get $block)) (then (return)))
  (local.set $count (i32.load $ledger offset=8 (local.get $block)))
  (local.set $size (i32.load $ledger offset=12 (local.get $block)))
  (if (i32.eqz (call $is_inside
      (i64.add (i64.extend_i32_u (local.get $start)) (i64.extend_i32_u (global.get $bytes)))
      (i64.extend_i32_u (local.get $size)))) (then (return)))
  (if (i32.eqz (call $is_inside
      (i64.add (i64.extend_i32_u (local.get $pointers))
        (i64.shl (i64.extend_i32_u (global.get $variables)) (i64.const 2)))
      (i64.shl (i64.extend_i32_u (local.get $count)) (i64.const 2)))) (then (return)))
  (local.set $start (i32.add (local.get $start) (global.get $bytes)))
  (local.set $pointers
    (i32.add (local.get $pointers) (i32.shl (global.get $variables) (i32.const 2))))
  (local.set $offsets (i32.add (local.get $block) (i32.const {at.BLOCK.size})))
  (memory.copy $guest $ledger (local.get $start)
    (i32.add (local.get $offsets) (i32.shl (local.get $count) (i32.const 2))) (local.get $size))
  (loop $next (if (i32.lt_u (local.get $index) (local.get $count)) (then
    (i32.store $guest
      (i32.add (local.get $pointers) (i32.shl (local.get $index) (i32.const 2)))
      (i32.add (local.get $start) (i32.load $ledger
        (i32.add (local.get $offsets) (i32.shl (local.get $index) (i32.const 2))))))
    (local.set $index (i32.add (local.get $index) (i32.const 1)))
    (br $next)))))
"""

ENTRIES = _STREAMS + _DENIALS + _OUTPUT + _ENVIRONMENT
