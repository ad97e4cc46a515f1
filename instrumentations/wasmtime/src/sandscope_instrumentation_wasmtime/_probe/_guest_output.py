"""What guests write to stdout and stderr: one log record for each line, in the trace of the call."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from sandscope.instrumentation import Recorder, Severity

EVENT = "wasm.output"
STREAMS = {1: "stdout", 2: "stderr"}
SEVERITIES: dict[int, Severity] = {1: "INFO", 2: "WARN"}
"""A program writes its complaints to stderr, and much that is not an error: hence not ERROR."""

LINES = 1000
"""Records of one outermost call; what the guest writes after them is not recorded."""
LONGEST = 2048
"""Characters of a record; a longer line becomes several records."""

_DECODER = codecs.getincrementaldecoder("utf-8")


class _Stream:
    """The incomplete line at a stream's end."""

    def __init__(self) -> None:
        self.decoder = _DECODER("replace")
        self.rest = ""


class GuestOutput:
    """The output of one store's outermost call."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.begin()

    def begin(self) -> None:
        """Begin an outermost call."""
        self._streams: dict[int, _Stream] = {}
        self._left = LINES
        self._is_truncated = False

    def take(self, writes: Iterable[tuple[int, bytes]], *, is_cut: bool) -> None:
        """Record complete lines.

        Args:
            writes: descriptor and content of each, in order.
            is_cut: more was written.
        """
        for descriptor, content in writes:
            if descriptor not in STREAMS:
                continue  # a guest may try to write to standard input
            stream = self._streams.setdefault(descriptor, _Stream())
            *lines, rest = (stream.rest + stream.decoder.decode(content)).split("\n")
            *full, stream.rest = _parts(rest)
            for part in [part for line in lines for part in _parts(line)] + full:
                self._log(descriptor, part)
        if is_cut:
            self.end()
            self._truncate()

    def end(self) -> None:
        """Record lines that are incomplete."""
        for descriptor, stream in self._streams.items():
            rest = stream.rest + stream.decoder.decode(b"", final=True)
            if rest:
                self._log(descriptor, rest)
        self._streams = {}

    def _log(self, descriptor: int, text: str) -> None:
        if not self._left:
            self._truncate()
            return
        self._left -= 1
        attributes = {"log.iostream": STREAMS[descriptor]}
        self._recorder.log(EVENT, text, severity=SEVERITIES[descriptor], attributes=attributes)

    def _truncate(self) -> None:
        self._left = 0
        if not self._is_truncated:
            self._is_truncated = True
            message = "The rest of this call's output is not recorded."
            self._recorder.log(EVENT, message, severity="WARN", attributes={"wasm.output.truncated": True})


def _parts(line: str) -> list[str]:
    return [line[start : start + LONGEST] for start in range(0, max(len(line), 1), LONGEST)]
