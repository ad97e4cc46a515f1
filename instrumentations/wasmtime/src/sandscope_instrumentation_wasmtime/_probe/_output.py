"""What a guest writes to stdout and stderr, as log records of its execution: a record for each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandscope.instrumentation import Recorder
from sandscope_instrumentation_wasmtime._probe._ledger import Piece

EVENT = "wasm.output"
STREAMS = {1: "stdout", 2: "stderr"}

LINES = 1000
"""Records of one outermost call; what the guest writes after is not recorded."""
LONGEST = 2048
"""Bytes of a record; a longer line becomes several."""

_LEAST = 64
"""Bytes to keep where there is no room for a line more: to know that there were some."""
_NO_MORE = "The rest of this call's output is not recorded."


class Output:
    """The output of one store: lines that are not complete yet, and how many may come."""

    __slots__ = ("_is_cut", "_left", "_recorder", "_rest")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._rest: dict[int, bytes] = {}
        self._left = 0
        self._is_cut = True

    def begin(self) -> None:
        """Begin an outermost call."""
        self._left = LINES
        self._is_cut = False
        self._rest.clear()

    @property
    def has_rest(self) -> bool:
        """Some of it has no end of line yet."""
        return bool(self._rest)

    @property
    def room(self) -> int:
        """Bytes that are worth keeping until the next reading."""
        return 0 if self._is_cut else max(self._left * LONGEST, _LEAST)

    def take(self, pieces: Iterable[Piece], *, is_cut: bool) -> None:
        """Record complete lines.

        Args:
            pieces: what was written, in its order.
            is_cut: there was more.
        """
        for descriptor, content in pieces:
            if descriptor not in STREAMS:
                continue  # not even standard input takes what is written to it
            *lines, rest = (self._rest.pop(descriptor, b"") + content).split(b"\n")
            for line in lines:
                self._record(descriptor, line)
            *full, rest = _parts(rest)
            for part in full:
                self._log(descriptor, part)
            if rest:
                self._rest[descriptor] = rest
        if is_cut:
            self.end()
            self._cut()

    def end(self) -> None:
        """Record what has no end of line."""
        for descriptor, rest in self._rest.items():
            self._log(descriptor, rest)
        self._rest.clear()

    def _record(self, descriptor: int, line: bytes) -> None:
        for part in _parts(line):
            self._log(descriptor, part)

    def _log(self, descriptor: int, part: bytes) -> None:
        if not self._left:
            self._cut()
            return
        self._left -= 1
        attributes = {"log.iostream": STREAMS[descriptor]}
        self._recorder.log(EVENT, part.decode("utf-8", "replace"), attributes=attributes)

    def _cut(self) -> None:
        if self._is_cut:
            return
        self._is_cut, self._left = True, 0
        self._recorder.log(EVENT, _NO_MORE, severity="WARN", attributes={"wasm.output.truncated": True})


def _parts(line: bytes) -> Iterator[bytes]:
    """Cut a line that is too long, but no character."""
    while len(line) > LONGEST:
        ends = range(LONGEST, LONGEST - 4, -1)
        end = next((each for each in ends if line[each] & 0xC0 != 0x80), LONGEST)
        yield line[:end]
        line = line[end:]
    yield line
