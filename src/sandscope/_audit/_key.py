"""A key for the chain, so that only who has it can continue or rewrite the chain."""

from __future__ import annotations

from pathlib import Path

from sandscope._errors import SandscopeError

_SHORTEST = 32
"""Bytes."""


def read_key(path: Path) -> bytes:
    """Return the content of a key file.

    Raises:
        SandscopeError: if it cannot be read, if it is too short, or if others may read it.
    """
    try:
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise SandscopeError(
            f"Cannot read the key {str(path)!r}: {error.strerror}. "
            f"Make one: `(umask 077; head -c 32 /dev/urandom > {path})`."
        ) from error
    if len(key) < _SHORTEST:
        raise SandscopeError(
            f"Cannot use the key {str(path)!r}: it has {len(key)} bytes. It needs {_SHORTEST} at least."
        )
    if mode & 0o077:
        raise SandscopeError(f"Cannot use the key {str(path)!r}: others may read it. Run `chmod 600 {path}`.")
    return key
