"""Submissions for the shell, which tells by its exit code how its own child has ended."""

from __future__ import annotations

from corpus._submission import (
    CPU,
    FAULT,
    NOT_STARTED,
    OK,
    OUTPUT,
    RE,
    UNKNOWN,
    WALL,
    Submission,
)

SHELL = (
    Submission("echo", "echo 42", OK),
    Submission("exit 3", "exit 3", RE),
    Submission("a program that is missing", "no-such-program || exit 3", RE),
    Submission("no such program", "no-such-program", NOT_STARTED),
    Submission("its last program faults", "sh -c 'kill -SEGV $$'", FAULT),
    Submission("its last program is killed", "sh -c 'kill -KILL $$'", UNKNOWN),
    Submission("kills itself", "kill -KILL $$", UNKNOWN),
    Submission("ulimit -t", "ulimit -t 1; while :; do :; done", CPU),
    Submission("yes > output", "exec yes > output", OUTPUT, output=4096),
    Submission("sleep 600", "sleep 600 & wait", WALL, wall=0.5),
)
