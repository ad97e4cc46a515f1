"""Submissions in Python."""

from __future__ import annotations

from corpus._submission import CPU, FAULT, MEMORY, MIB, OK, OUTPUT, RE, UNKNOWN, WALL, Submission

_FILL = "held = []\nwhile True: held.append(b'x' * (8 << 20))"
_LIMIT = 256 * MIB
_START = "import threading; threading.Thread(target=threading.Event().wait, daemon={daemon}).start()"
_AT_SIGTERM = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit())\nwhile True: signal.pause()"
_DEADLOCK = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
_WRITE = "open('large', 'wb').write(bytes(1 << 20))"
_WRITE_OR_DIE = f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n{_WRITE}"

PYTHON = (
    # -- correct
    Submission("sum", "print(sum(n * n for n in range(1000)))", OK),
    Submission("sys.exit()", "import sys; sys.exit()", OK),
    Submission("handles an exception", "try: 1 / 0\nexcept ZeroDivisionError: pass", OK),
    Submission("a daemon thread", _START.format(daemon=True), OK),
    Submission("starts a program", "import subprocess; subprocess.run(['true'], check=True)", OK),
    Submission("a worker crashes", "import os\nif not os.fork(): os.abort()\nos.wait()", OK),
    Submission("survives a refused allocation", "try: bytes(1 << 40)\nexcept MemoryError: pass", OK, memory=_LIMIT),
    Submission("sys.exit at SIGTERM", _AT_SIGTERM, OK, wall=4, stop="term"),
    # -- wrong
    Submission("division", "1 // 0", RE),
    Submission("syntax error", "this is not Python", RE),
    Submission("sys.exit(3)", "import sys; sys.exit(3)", RE),
    Submission("sys.exit(text)", "import sys; sys.exit('wrong')", RE),
    Submission("os._exit(4)", "import os; os._exit(4)", RE),
    Submission("recursion", "def f(): f()\nf()", RE),
    Submission("end of input", "input()", RE),
    Submission("a program fails", "import subprocess; subprocess.run(['false'], check=True)", RE),
    Submission("too large for a file", _WRITE, RE, output=4096),
    Submission("too many files", "held = [open('/dev/null') for _ in range(99)]", RE, files=30),
    Submission("one large allocation", "bytes(1 << 40)", RE, memory=_LIMIT),
    # -- signals
    Submission("os.abort", "import os; os.abort()", FAULT),
    Submission("ctypes", "import ctypes; ctypes.string_at(0)", FAULT),
    Submission("os.kill SIGKILL", "import os; os.kill(os.getpid(), 9)", UNKNOWN),
    Submission("an unhandled Ctrl-C", "import os, time; os.kill(os.getpid(), 2); time.sleep(60)", UNKNOWN),
    # -- limits
    Submission("while True", "while True: pass", CPU, cpu=1),
    Submission("sleep", "import time; time.sleep(600)", WALL, wall=1),
    Submission("deadlock", _DEADLOCK, WALL, wall=1),
    Submission("a thread that never ends", _START.format(daemon=False), WALL, wall=1),
    Submission("reads input that never comes", "input()", WALL, wall=1, stdin="open"),
    Submission("allocates until it fails", _FILL, MEMORY, memory=_LIMIT),
    Submission("SIGXFSZ as by default", _WRITE_OR_DIE, OUTPUT, output=4096),
)  # fmt: skip
