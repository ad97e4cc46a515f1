"""Where torch's own call of a module comes down to its ``forward``: that is called instead, two frames less.

A model of many layers is one execution, yet each of its layers passes through the patched call. What that costs,
and most of what an execution costs, is saved here.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

_KNOWN_CALL = "ab28d73bd5bc2f34"
"""Of ``Module._wrapped_call_impl``: calls ``_compiled_call_impl``, or ``_call_impl`` if that is None."""

_KNOWN_IMPL = "23c41263977b9b7c"
"""Of the first two statements of ``Module._call_impl``: without hooks, and if nothing is traced, calls ``forward``."""


def known_implementation(torch: Any, call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return torch's ``Module._call_impl``; None unless it, and what calls it, is as known here.

    Args:
        torch: the package.
        call: what is patched.
    """
    impl: Callable[..., Any] = torch.nn.Module._call_impl
    return impl if (_digest(call), _digest(impl, 2)) == (_KNOWN_CALL, _KNOWN_IMPL) else None


def _digest(function: Callable[..., Any], statements: int | None = None) -> str:
    """Return a digest of a function's first statements, however they are laid out; empty without a source."""
    if type(function) is not FunctionType:
        return ""
    try:
        # Of its code: of a function, this would be the source of what it says to wrap.
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    text = "\n".join(map(ast.unparse, getattr(definition, "body", [])[:statements]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
