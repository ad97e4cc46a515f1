"""A program's part that is the same in all tests: it runs executions, and shows whether they change it."""

from __future__ import annotations

from harness import OtlpSink

AUTO = "import sandscope.auto\n"
PREPARE = """
import subprocess, wasmtime
store = wasmtime.Store()
module = wasmtime.Module(store.engine, '(module (func (export "run")))')
call = wasmtime.Instance(store, module, []).exports(store)["run"]
def run_all():
    for _ in range(20):
        call(store)
    for number in range(3):
        print(subprocess.run(["echo", str(number)], capture_output=True, text=True).stdout.strip())
"""
RUN = PREPARE + "run_all()\n"
OUTPUT = "0\n1\n2\n"
SPANS = ["echo"] * 3 + ["wasm run"] * 20
EXECUTIONS = {"subprocess": 3, "wasmtime": 20}


def executions(sink: OtlpSink) -> dict[str, int]:
    """Return how many executions of each runtime one process has counted, whatever the temporality."""
    counts: dict[tuple[str, ...], int] = {}
    for metric in sink.metrics:
        if metric.name == "sandbox.executions":
            is_delta = metric.sum.aggregation_temporality == 1
            for point in metric.sum.data_points:
                values = {a.key: a.value.string_value for a in point.attributes}
                key = (values["sandbox.runtime"], *map(str, sorted(values.items())))
                counts[key] = point.as_int + (counts.get(key, 0) if is_delta else 0)
    total: dict[str, int] = {}
    for key, count in counts.items():
        total[key[0]] = total.get(key[0], 0) + count
    return total


def execution_logs(sink: OtlpSink) -> int:
    """Return how many log records of executions have arrived."""
    return sum(record.event_name == "sandbox.execution" for record in sink.logs)
