"""The submissions as programs in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from corpus import SUBMISSIONS
from corpus._c import C
from corpus._python import PYTHON
from corpus._submission import Submission

_C_FUNCTIONS = Path(__file__).with_name("functions.c")


def write_programs(folder: Path, compiler: str) -> None:
    """Compile those in C into one program, and write the others as scripts, which every user can read."""
    bodies = [
        f"static int submission_{number}(void) {{ {submission.text} return 99; }}"
        for number, submission in enumerate(C)
    ]
    names = ", ".join(f"submission_{number}" for number in range(len(C)))
    table = f"static int (*const submissions[])(void) = {{ {names} }};"
    source = _C_FUNCTIONS.read_text().replace("/* SUBMISSIONS */", "\n".join([*bodies, table]))
    (folder / "submissions.c").write_text(source)
    words = [compiler, "-O0", "-w", "-o", str(folder / "submissions"), str(folder / "submissions.c")]
    subprocess.run(words, check=True)
    for number, submission in enumerate(SUBMISSIONS):
        if submission not in C:
            (folder / str(number)).write_text(submission.text)


def command(folder: Path, submission: Submission) -> list[str]:
    """Return the command that runs a submission."""
    if submission in C:
        return [str(folder / "submissions"), str(C.index(submission))]
    file = str(folder / str(SUBMISSIONS.index(submission)))
    return [sys.executable, "-I", "-S", file] if submission in PYTHON else ["/bin/sh", file]
