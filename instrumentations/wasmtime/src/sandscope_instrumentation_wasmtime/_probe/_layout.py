"""Where what stands in a store's ledger: the memory that the meters write and the host reads."""

from __future__ import annotations

from struct import Struct

PAGES = 5
PAGE = 65536

COUNTERS = ("operations", "errors", "read", "written", "requests", "failed", "sent", "received", "denied")
"""Eight bytes each, from address 0."""
AT = {counter: 8 * index for index, counter in enumerate(COUNTERS)}

HEAD = Struct("<9QiIIIIII")
"""Counters, then the rest of what is in this order:

- STDIO: bit n is set while descriptor n is what the host gave;
- ENVIRONMENT: where the block of variables is, or 0;
- ROOM: bytes of output that may be kept, or 0;
- USED: bytes of output that are;
- LAST: where the last piece of output is, or 0;
- LOST: 1 if some found no room;
- DENIALS: slots that are in use.
"""
STDIO, ENVIRONMENT, ROOM, USED, LAST, LOST, DENIALS = range(72, 100, 4)
OFFER = Struct("<II")
"""ENVIRONMENT and ROOM, which the host sets."""

SLOTS_AT, SLOTS = 128, 64
SLOT = Struct("<III")
"""Function, error number, length of the path; the path follows."""
PATH = 256
SLOT_SIZE = SLOT.size + PATH

ENVIRONMENT_AT, ENVIRONMENT_END = 20480, PAGE
BLOCK = Struct("<IIII")
"""Variables and bytes to drop from the environment's end, variables and bytes to put there.

Offsets of the new variables follow, then their bytes.
"""

OUTPUT_AT, OUTPUT_SIZE = PAGE, (PAGES - 1) * PAGE
PIECE = Struct("<II")
"""Descriptor and length of a piece of output; its bytes follow."""
