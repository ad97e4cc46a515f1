"""Execute a program, the Collector, with SIGINT ignored, and on Linux with SIGTERM when its parent ends.

Doing this between fork and exec (`preexec_fn`) would be unsafe in a process with threads.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Expect these arguments: the pid of the parent, the path of a program, its arguments."""
    # The Collector handles SIGINT only once everything runs. Until then, SIGINT must not end it: see `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have ended before the line above.
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - runs without a shell


if __name__ == "__main__":
    main()
