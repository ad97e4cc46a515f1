"""Sandboxes without network, and programs that start one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest

from harness import OtlpSink, clean_environment, lacking

if sys.platform != "linux":
    pytest.skip("what takes the network away from a child is of Linux", allow_module_level=True)


WITHOUT_SOCKETS = r"""
import ctypes, errno, os, platform, struct, sys
number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
filters = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in filters))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
header = struct.pack("@HP", len(filters), ctypes.addressof(program))
assert libc.prctl(22, 2, header, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Executes a program in which `socket` fails. Run with ``-I``, Python does not start Sandscope before that."""
GUEST = """
import os, socket, sys
from opentelemetry import trace
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)
    sys.exit("there is a network")
except OSError:
    pass
assert not [name for name in os.environ if "RELAY_PIPE" in name], "the program sees the variable"
with trace.get_tracer("guest").start_as_current_span("in the sandbox"):
    pass
"""
SANDBOXES = {
    "bwrap": ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-net", "--"],
    "seccomp": [sys.executable, "-I", "-c", WITHOUT_SOCKETS],
}


def sandbox(name: str) -> list[str]:
    """Return the command line before that of a program without network."""
    command = SANDBOXES[name]
    if shutil.which(command[0]) is None:
        lacking(f"{name} is not installed")
    tried = subprocess.run(
        [*command, sys.executable, "-I", "-c", ""], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        lacking(f"{name} does not work here: {tried.stderr[:200]}")
    return command


def parent(command: list[str], before: str = "", after: str = "") -> str:
    return f"""
import os, subprocess, sys
from opentelemetry import trace
{before}
with trace.get_tracer("parent").start_as_current_span("parent"):
    done = subprocess.run({command!r}, capture_output=True, text=True)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    {after}
sys.exit(done.returncode)
"""


def environment(sink: OtlpSink, **variables: str) -> dict[str, str]:
    port = sink.endpoint.rpartition(":")[2]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "PORT": port, "SANDSCOPE_RELAY": "on"}
    return clean_environment(**{**given, **variables})


def attributes(record: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in record.attributes}


def outcomes(sink: OtlpSink) -> dict[tuple[str, str], int]:
    """Return the last values of the counter of relayed records."""
    return {
        (found["sandscope.signal"], found["sandscope.relay.outcome"]): point.as_int
        for point in sink.points("sandscope.relay.records")
        for found in [attributes(point)]
    }
