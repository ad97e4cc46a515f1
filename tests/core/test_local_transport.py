"""Requests to a Collector on this machine do not affect the program's standard streams."""

from __future__ import annotations

from harness import OtlpSink, run_program

PROGRAM = """
import os, sys
from sandscope._internals import _local_transport
port = int(sys.argv[1])
for descriptor in (0, 1):
    os.close(descriptor)
connection = _local_transport._connect(("127.0.0.1", port), 60)
assert connection.fileno() > 2, connection
assert connection.gettimeout() == 60
assert not os.get_inheritable(connection.fileno())
for descriptor in (0, 1):
    try:
        os.fstat(descriptor)
    except OSError:
        continue
    raise AssertionError(f"{descriptor} is open")
result = _local_transport.LocalTransport().request("POST", f"http://127.0.0.1:{port}/v1/traces", data=b"", timeout=60)
assert result.status_code == 200, result
"""


def test_a_connection_never_takes_the_place_of_a_standard_stream() -> None:
    with OtlpSink() as sink:
        run = run_program(PROGRAM, sink.endpoint.rpartition(":")[2], way=())
    assert (run.returncode, run.stderr) == (0, "")
