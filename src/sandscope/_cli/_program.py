"""Run a program and pass on the signals and its exit status, so that its caller sees no difference."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping, Sequence

from sandscope._cli._forwarded_signals import FORWARDED, next_signal

_WATCHED = FORWARDED | {signal.SIGCHLD}
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Program:
    """A child process that receives the signals that are sent to this process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program.

        Args:
            command: the absolute path of its file, and its arguments.
            environment: its environment variables.

        Raises:
            OSError: if it cannot be started.
        """
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            self._pid = os.posix_spawn(
                command[0], list(command), environment, setsigmask=self._mask, setsigdef=_IGNORED_BY_PYTHON
            )
        except BaseException:
            self._unblock()
            raise

    def wait(self) -> int:
        """Wait until it exits and return its wait status."""
        while True:
            number, from_terminal = next_signal(_WATCHED)
            if number != signal.SIGCHLD:
                # A terminal's signals are sent to the whole process group: the program has received them.
                if not from_terminal:
                    os.kill(self._pid, number)
                continue
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._unblock()
                return status

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def exit_as(status: int) -> int:
    """Exit as another process did.

    Args:
        status: its wait status.

    Returns:
        Its exit code. If a signal ended it, the same signal ends this process.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump is enough
    if -code not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code
