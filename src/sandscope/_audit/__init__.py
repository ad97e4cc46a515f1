"""The security log's hash chain: what the Collector has written is sealed, so that a later change shows."""

from __future__ import annotations

from sandscope._audit._chain import CHAIN, Entry, read_chain
from sandscope._audit._files import FILE, Line, sealed_lines
from sandscope._audit._key import read_key
from sandscope._audit._seal import seal
from sandscope._audit._verify import Verified, verify

__all__ = [
    "CHAIN",
    "FILE",
    "Entry",
    "Line",
    "Verified",
    "read_chain",
    "read_key",
    "seal",
    "sealed_lines",
    "verify",
]
