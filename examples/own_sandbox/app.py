"""Run Python in bubblewrap, a sandbox that no instrumentation patches: sandscope run -- python app.py."""

import json
import os
import shlex
import subprocess
import sys

import sandscope
from sandscope import OK, Verdict

# Read-only files, no network. -I: the code inside does not load this program's instrumentation.
SANDBOX = shlex.split("bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all --die-with-parent")
PYTHON = [sys.executable, "-I", "-c"]
NONZERO_EXIT = Verdict("RE", "guest", "re_nonzero_exit")
SIGNAL = Verdict("SIG", "unknown", "sig_unattributed")
WALL_TIME = Verdict("TLE", "host", "tle_wall_judge", "wall")
NOT_STARTED = Verdict("IE", "host", "ie_supervisor_failure")


def run_python(name: str, code: str, *options: str) -> str:
    """Run Python code for at most five seconds, and return what it printed."""
    read, write = os.pipe()
    command = [*SANDBOX, "--json-status-fd", str(write), *options, *PYTHON, code]
    with sandscope.execution("bubblewrap", "run", name=name) as run, os.fdopen(read) as status:
        given = {"env": run.environment(), "pass_fds": [write], "text": True}  # continues the trace inside
        try:
            done = subprocess.run(command, check=False, capture_output=True, timeout=5, **given)
        except subprocess.TimeoutExpired as error:
            run.fail(error, WALL_TIME)
            return ""
        finally:
            os.close(write)
        reports = {name: value for line in status for name, value in json.loads(line).items()}
        exit_code = reports.get("exit-code")
        if exit_code is None:
            run.finish(NOT_STARTED)
        else:
            run.set_attributes({"process.exit.code": exit_code})
            # bubblewrap reports a fatal signal as 128 plus the signal's number.
            run.finish(OK if exit_code == 0 else SIGNAL if exit_code > 128 else NONZERO_EXIT)
        return done.stdout


if __name__ == "__main__":
    print(run_python("trace", "import os; print(os.environ.get('TRACEPARENT'))"), end="")
    run_python("write", "open('/etc/hostname', 'a')")
    run_python("crash", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    run_python("endless", "while True: pass")
    run_python("missing", "", "--bind", "/no/such/folder", "/data")
