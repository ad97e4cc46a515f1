"""Lets the SDK import psutil when it needs it: only its detector of processes does, which few programs ask for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_PSUTIL, _RESOURCES = "psutil", "opentelemetry.sdk.resources"


@contextmanager
def lazy_psutil() -> Iterator[None]:
    """Import psutil for the SDK later, if its module of resources is imported in the ``with`` block.

    Other threads, and all other modules, import psutil as ever.
    """
    if _RESOURCES in sys.modules or _PSUTIL in sys.modules or find_spec(_PSUTIL) is None:
        yield
        return
    finder = _HidesPsutil()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        resources: Any = sys.modules.get(_RESOURCES)
        if resources is not None and getattr(resources, _PSUTIL, True) is None:
            resources.psutil = _Lazy()


class _HidesPsutil:
    """An import finder by which psutil is not there, for one thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        """Find nothing."""
        if name == _PSUTIL and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _Lazy:
    """Stands for psutil until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(_PSUTIL), name)
