"""Judge submissions: each runs in its own child process, with limits."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SUBMISSIONS = Path(__file__).parent / "submissions"
LIMITS = {
    resource.RLIMIT_CPU: (2, 3),  # seconds, soft and hard
    resource.RLIMIT_AS: (256 << 20,) * 2,  # bytes of memory
    resource.RLIMIT_FSIZE: (1 << 20,) * 2,  # bytes in a file
}


def limit() -> None:
    """Set the limits of the child; called in the child."""
    for name, value in LIMITS.items():
        resource.setrlimit(name, value)


def judge(submission: Path) -> int:
    """Run one submission and return its exit code, negative for a signal."""
    python = [sys.executable, "-I", submission]  # isolated from this program's environment
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            python if submission.suffix == ".py" else ["/bin/sh", submission],
            cwd=folder,
            preexec_fn=limit,
            timeout=30,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return run.returncode


for path in sorted(SUBMISSIONS.iterdir()):
    print(f"judge: {path.name} ended with {judge(path)}", flush=True)
