"""The names of tests, without what their parameters contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

_MAX_LENGTH = 256


class Name(NamedTuple):
    """The name of a test.

    Attributes:
        file: its path from the root folder; only the last part if it is elsewhere.
        function: the class and the function.
        case: both, and which of its parametrizations it is.
    """

    file: str
    function: str
    case: str


def name_of(nodeid: str, number: int | None = None, *, parameters: bool = False) -> Name:
    """Return the name of a test.

    Args:
        nodeid: as pytest has it.
        number: which of its parametrizations it is, from 1 on; None if it has none or that is not known.
        parameters: whether to keep the parameters.
    """
    path, _, rest = nodeid.partition("::")
    file = PurePath(path).name if path.startswith(("/", "..")) else path
    function = rest.partition("[")[0]
    case = rest if parameters else function if number is None else f"{function}[#{number}]"
    return Name(_text(file), _text(function), _text(f"{file}::{case}" if rest else file))


def numbers_of(nodeids: Iterable[str]) -> dict[str, int]:
    """Return which of the parametrizations of its function each test is, in the order of collection."""
    seen: Counter[str] = Counter()
    numbers = {}
    for nodeid in nodeids:
        path, _, rest = nodeid.partition("::")
        if "[" in rest:
            function = f"{path}::{rest.partition('[')[0]}"
            seen[function] += 1
            numbers[nodeid] = seen[function]
    return numbers


def _text(text: str) -> str:
    return text[:_MAX_LENGTH].encode("utf-8", "replace").decode()
