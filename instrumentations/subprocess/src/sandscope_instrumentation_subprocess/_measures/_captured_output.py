"""What children have written to stdout and stderr, as ``communicate`` returns it: one log record for each line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from types import CodeType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from sandscope.instrumentation import Execution, Severity, Value, report_error

EVENT = "sandbox.process.output"
TRUNCATED = "sandbox.process.output.truncated"

_STREAMS: tuple[tuple[str, Severity], ...] = (("stdout", "INFO"), ("stderr", "WARN"))
"""In the order in which ``communicate`` returns them. Much of what is written to stderr is not an error: hence WARN."""

LINES = 1000
"""The maximum number of records of one child."""
SIZE = 1 << 16
"""The maximum number of bytes of one child, or of characters if the program reads text."""
LONGEST = 2048
"""The maximum number of characters of a record; a longer line becomes several records."""


class CapturedOutput:
    """Records the output of children whose program has read it by ``communicate``, and reads nothing itself."""

    def __init__(self, recorded: Literal["stderr", "all"], waiting: Set[CodeType]) -> None:
        """Begin without a child.

        Args:
            recorded: the streams.
            waiting: the code objects of functions that do not call ``communicate`` again after a timeout.
        """
        self._recorded = {"stderr"} if recorded == "stderr" else {"stdout", "stderr"}
        self._waiting = waiting
        self._executions: WeakKeyDictionary[Any, Execution] = WeakKeyDictionary()

    def remember(self, popen: Any, execution: Execution) -> None:
        """Keep the execution of a child until its output is recorded."""
        with suppress(TypeError):  # the program's own class may not be hashable
            self._executions[popen] = execution

    def communicate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Make a ``Popen.communicate`` that records what it returns, or has read when the time was over."""
        timeout_expired = sys.modules["subprocess"].TimeoutExpired

        @functools.wraps(original)
        def communicate(self_: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = original(self_, *args, **kwargs)
            except timeout_expired as error:
                if sys._getframe(1).f_code in self._waiting:
                    self.record(self_, (error.stdout, error.stderr))
                raise
            self.record(self_, result)
            return result

        return communicate

    def asyncio_communicate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Make a ``communicate`` of asyncio's ``Process`` that records what it returns."""

        @functools.wraps(original)
        async def communicate(self_: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self_, *args, **kwargs)
            transport = getattr(self_, "_transport", None)
            if transport is not None:
                self.record(transport.get_extra_info("subprocess"), result)
            return result

        return communicate

    def record(self, popen: Any, output: Any) -> None:
        """Record what a child has written. Never raises.

        Args:
            popen: the child.
            output: of stdout and of stderr; None where they were not read.
        """
        try:
            execution = self._executions.pop(popen, None)
            if execution is not None:
                self._emit(execution, output)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.output", error)

    def _emit(self, execution: Execution, output: Any) -> None:
        attributes = {"sandbox.runtime": execution.site.runtime, **execution.site.attributes}
        lines_left, size_left, is_cut = LINES, SIZE, False
        # What went wrong is more important if there is not enough room for both.
        for (stream, severity), written in reversed(list(zip(_STREAMS, output, strict=True))):
            if stream not in self._recorded or not isinstance(written, (str, bytes)):
                continue
            is_cut |= len(written) > size_left
            own: dict[str, Value] = {**attributes, "log.iostream": stream}
            for line in _lines(written[:size_left]):
                if not lines_left:
                    is_cut = True
                    break
                lines_left -= 1
                execution.log(EVENT, line, severity=severity, attributes=own)
            size_left = max(0, size_left - len(written))
        if is_cut:
            message = "The rest of this child's output is not recorded."
            execution.log(EVENT, message, severity="WARN", attributes={**attributes, TRUNCATED: True})


def _lines(written: str | bytes) -> Iterator[str]:
    """Yield the lines that are not empty, as text that can be exported."""
    text = written.decode("utf-8", "replace") if isinstance(written, bytes) else written
    for line in text.encode("utf-8", "replace").decode().split("\n"):
        for start in range(0, len(line.rstrip("\r")), LONGEST):
            yield line[start : start + LONGEST].rstrip("\r")
