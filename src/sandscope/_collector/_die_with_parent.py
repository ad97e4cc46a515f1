"""Execute another program that receives SIGTERM when its parent ends. Linux only; run as a program.

Doing this between fork and exec (`preexec_fn`) would be unsafe in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Expect these arguments: the pid of the parent, the path of a program, its arguments."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have ended before the line above.
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - runs without a shell


if __name__ == "__main__":
    main()
