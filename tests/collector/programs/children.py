"""Children that end in seven ways, one execution that the limiter of an engine ended, a queue and two workers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import sandscope
from sandscope import Verdict
from sandscope.instrumentation import Scope, Site, get_recorder

USE_CPU_TIME = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 3))\nwhile True: pass"

sandscope.queue("judge", lambda: 3)
sandscope.worker()
sandscope.worker().state = "quarantined"
subprocess.run(["true"], check=True)
subprocess.run(["false"], check=False)
subprocess.run([sys.executable, "-c", USE_CPU_TIME], check=False)
subprocess.run(["/bin/sh", "-c", "kill -KILL $$"], check=False)
subprocess.run(["/bin/sh", "-c", "for i in 1 2 3 4; do sleep 1 & done; wait"], check=True)
with suppress(subprocess.TimeoutExpired):
    subprocess.run(["sleep", "600"], timeout=0.5, check=False)
with suppress(FileNotFoundError):
    subprocess.run(["/no/such/program"], check=False)

execution = get_recorder(Scope("engine", "1")).begin(Site("wasmtime", "call", "guest"))
if execution is not None:
    execution.finish(Verdict("MLE", "engine", "mle_store_limit", "memory"))
