"""Run a program as if nobody stood between it and its caller: same signals, same exit."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping, Sequence

_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_WATCHED = _FORWARDED | {signal.SIGCHLD}


class Program:
    """A child process to which this process passes on the signals that it gets itself."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program.

        Args:
            command: its file and arguments; the file is an absolute path.
            environment: its environment variables.

        Raises:
            OSError: if it cannot be started.
        """
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            self._pid = os.posix_spawn(command[0], list(command), environment, setsigmask=self._mask)
        except BaseException:
            self._unblock()
            raise

    def wait(self) -> int:
        """Wait for its end and return its wait status."""
        while True:
            number, sender = _next_signal()
            if number != signal.SIGCHLD:
                self._forward(number, sender)
                continue
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._unblock()
                return status

    def _forward(self, number: int, sender: int) -> None:
        # What the terminal sends reaches the whole group: the program has it already.
        if sender != 0:
            os.kill(self._pid, number)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def exit_as(status: int) -> int:
    """End as another process ended.

    Args:
        status: its wait status.

    Returns:
        Its exit code; does not return if a signal ended it, for then the same one ends this process.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump is enough
    if -code not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


def _next_signal() -> tuple[int, int]:
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(_WATCHED)
        return info.si_signo, info.si_pid
    # macOS cannot say who sent it; another process of the same user is the usual case.
    return signal.sigwait(_WATCHED), os.getpid()
