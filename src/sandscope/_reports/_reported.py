"""What a program reports until it closes it: its queues and its workers."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from sandscope._manual import get_recorder
from sandscope._metric import Metric
from sandscope._recording._observed import Source, observe

if TYPE_CHECKING:
    from typing_extensions import Self

_open: dict[int, Reported] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # those of the parent process


class Reported:
    """Is reported until it is closed. Also a context manager, which closes it."""

    def close(self) -> None:
        """Report this no longer."""
        _open.pop(id(self), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


AnyReported = TypeVar("AnyReported", bound=Reported)


def report(reported: AnyReported, metric: Metric, source: Source) -> AnyReported:
    """Report something from now on, in a metric that is read from a source."""
    _open[id(reported)] = reported
    observe(metric, source)
    export_soon()
    return reported


def not_closed(kind: type[AnyReported]) -> list[AnyReported]:
    """Return what is reported, of one class."""
    return [each for each in list(_open.values()) if isinstance(each, kind)]


def export_soon() -> None:
    """Export the metrics soon, because a value has changed that somebody may wait for."""
    recorder = get_recorder()
    if recorder is not None:
        recorder.export_soon()
