"""The ids under which executions are to be found: those that the program gave them, with one exception.

An execution that ended in the last 0.2 s before its program was killed had no ids yet: it gets them from whoever reads
the black box (docs/decisions/0022). It is told of, but its caller's trace does not lead to it.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.faults._lookup import Lookup
from benchmarks.faults._program import Program


class Expected(NamedTuple):
    """The executions of a program that have ended.

    Attributes:
        ids: a trace id for each.
        renamed: how many of these ids are not those that the program gave.
    """

    ids: list[str]
    renamed: int


def expected(lookup: Lookup, program: Program) -> Expected:
    """Return the executions that a program has seen ending by now."""
    given = program.acknowledged()
    there = lookup.by_id()["spans on disk"](program.service, given)
    others = [name for name in lookup.recovered(program.service) if name not in set(given)]
    ids, renamed = [], 0
    for name in given:
        if name not in there and renamed < len(others):
            ids.append(others[renamed])
            renamed += 1
        else:
            ids.append(name)
    return Expected(ids, renamed)
