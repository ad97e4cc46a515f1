"""Signals that are sent to this process while a program runs are the program's."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection
from contextlib import suppress

FORWARDED = frozenset(
    {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
)
_SI_KERNEL = 0x80
"""The `si_code` of a signal that the kernel sends, as it does for a terminal."""


class ForwardedSignals:
    """Holds back signals from its creation on, and passes them on from the start of the program.

    Create it before any thread, because threads inherit which signals are blocked.
    """

    def __init__(self) -> None:
        # Those that are ignored stay so, for the program as well: nohup ignores SIGHUP.
        self._numbers = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        self._closed = False

    def unblock(self) -> None:
        """Block what was blocked before, and nothing else; called in the child, too."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def pass_on(self, pid: int, *, in_same_group: bool) -> None:
        """Pass signals on to a process, on a thread.

        Args:
            pid: of the process.
            in_same_group: whether it gets a terminal's signals itself, which are sent to a whole process group.
        """

        def forward() -> None:
            while True:
                number, from_terminal = next_signal(self._numbers)
                if self._closed:
                    os.kill(os.getpid(), number)  # for the main thread, which does not block it now
                    return
                if not (from_terminal and in_same_group):
                    _send(pid, number)

        threading.Thread(target=forward, name="sandscope-signals", daemon=True).start()

    def close(self) -> None:
        """Let signals do to this process what they did before."""
        self._closed = True
        self.unblock()


def next_signal(numbers: Collection[signal.Signals]) -> tuple[int, bool]:
    """Wait for a signal that is blocked, and return it and whether a terminal sent it."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(numbers)
        # The sender's pid would not do: it is 0, too, for a sender outside of this container, such as `docker stop`.
        return info.si_signo, info.si_code == _SI_KERNEL
    # macOS does not say who sent it; usually it is another process of the same user.
    return signal.sigwait(numbers), False


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
