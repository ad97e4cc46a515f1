"""The queues of a program in which executions wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from sandscope import _guard
from sandscope._locks import new_lock
from sandscope._manual import OTHER, check_text
from sandscope._metric import QUEUED
from sandscope._recording._executors import QUEUE
from sandscope._reports._reported import Reported, not_closed, report

_MAX_NAMES = 32
"""The maximum number of names in a process, because the name is an attribute of a metric."""

_logger = logging.getLogger("sandscope")
_lock = new_lock()
_names: set[str] = set()


def queue(name: str, length: Callable[[], int]) -> Queue:
    """Report the length of a queue of executions as ``sandbox.execution.queued``, until it is closed.

        waiting = queue.Queue()
        sandscope.queue("judge", waiting.qsize)

    The queues of ``concurrent.futures`` are reported without this, if executions are recorded in their workers.

    Args:
        name: of the queue; an attribute of the metric. A process can use 32 names; further ones are ``other``. Queues
            with the same name are added.
        length: returns how many executions wait. It is called on another thread at each collection of metrics. If it
            raises or does not return a number, nothing is reported.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if the name is empty or cannot be encoded as UTF-8.
    """
    check_text("queue", name)
    if not callable(length):
        raise TypeError(f"Cannot report a queue: length is {length!r}, not a function. Pass its `qsize`.")
    return report(Queue(_limited(name), length), QUEUED, _lengths)


class Queue(Reported):
    """The result of `queue`. Also a context manager, which closes it."""

    def __init__(self, name: str, length: Callable[[], int]) -> None:
        self._name, self._length = name, length

    def read(self) -> tuple[str, int]:
        """Return the queue's name and its length at present."""
        return self._name, max(0, int(self._length()))


def _limited(name: str) -> str:
    with _lock:
        if name not in _names and len(_names) >= _MAX_NAMES:
            _logger.warning(
                "The queue %s is reported as %s: the limit of %d names is reached.", name, OTHER, _MAX_NAMES
            )
            return OTHER
        _names.add(name)
    return name


def _lengths() -> Iterator[tuple[Mapping[str, str], int]]:
    for each in not_closed(Queue):
        try:
            name, length = each.read()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("queue", error)
            continue
        yield {QUEUE: name}, length
