"""How dangerous it is to unpickle what names these classes and functions."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterable
from typing import Any, NamedTuple

from sandscope_instrumentation_torch._loading._pickle_globals import UNKNOWN

_MOST_NAMES = 16
_LONGEST = 128
_RUNNING = frozenset(
    """__builtin__ _ctypes _io _pickle _posixsubprocess _winapi aiohttp asyncio bdb builtins cProfile cloudpickle code
    codeop commands ctypes dill doctest fileinput ftplib http importlib imp io joblib linecache marshal multiprocessing
    nt ntpath operator os pathlib pdb pickle pip pkgutil popen2 posix posixpath profile pty pydoc requests runpy shutil
    signal site smtplib socket sqlite3 ssl subprocess sys telnetlib tempfile timeit trace types urllib venv webbrowser
    zipimport""".split()  # noqa: SIM905 -- one name a line would be a long list
)
"""Modules whose functions run code, or reach files, processes or the network."""
_HARMLESS = frozenset(
    """builtins.set builtins.frozenset builtins.dict builtins.list builtins.tuple builtins.int builtins.float
    builtins.str builtins.bool builtins.bytes builtins.bytearray builtins.complex builtins.slice builtins.range
    builtins.object builtins.type builtins.Exception __builtin__.set __builtin__.frozenset __builtin__.object
    __builtin__.bytearray __builtin__.complex __builtin__.slice __builtin__.xrange _io.BytesIO io.BytesIO
    pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePath pathlib.PurePosixPath
    types.SimpleNamespace operator.itemgetter""".split()  # noqa: SIM905
)
_RUNNING_IN_TORCH = (
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.serialization",
    "torch.utils.cpp_extension",
)
"""Modules of torch that load or compile code."""


class Risk(NamedTuple):
    """What a pickle names beyond what torch allows where only weights are allowed.

    Attributes:
        level: ``high`` if it names functions that run code, ``medium`` for other classes and functions.
        names: some of them, the dangerous ones first.
    """

    level: str
    names: tuple[str, ...]


def risk_of(torch: Any, named: Iterable[str]) -> Risk | None:
    """Return the risk of unpickling what is named, or None if all of it is allowed.

    Args:
        torch: the module.
        named: module and name, as in ``posix system``.
    """
    unpickler = torch._weights_only_unpickler
    allowed = {*unpickler._get_allowed_globals()}
    users = getattr(unpickler, "_get_user_allowed_globals", dict)
    allowed |= {*users()}
    others = sorted(name for name in named if not allowed & {name.replace(" ", "."), _renamed(name)})
    if not others:
        return None
    running = [name for name in others if _runs_code(name)]
    names = [*running, *(name for name in others if name not in running)]
    return Risk("high" if running else "medium", tuple(name[:_LONGEST] for name in names[:_MOST_NAMES]))


def _renamed(name: str) -> str:
    """Return what Python 3 calls a class or function, if the pickle calls it as Python 2 did."""
    module, _, function = name.partition(" ")
    module, function = NAME_MAPPING.get((module, function), (IMPORT_MAPPING.get(module, module), function))
    return f"{module}.{function}"


def _runs_code(name: str) -> bool:
    module, _, function = name.partition(" ")
    if name in (UNKNOWN, "torch load"):
        return True
    if f"{module}.{function}" in _HARMLESS:
        return False
    return module.partition(".")[0] in _RUNNING or module.startswith(_RUNNING_IN_TORCH)
