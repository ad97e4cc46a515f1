"""Claim: the local store reads what the Collector has written faster than programs record it, and answers at once.

`store_ingest_per_second`: spans of eight attributes, in bulk, from files of the Collector. `store_bytes_per_span`: of
Parquet. `store_report_ms`: all figures of a report. `store_more_late_over_early`: the time to read 500 spans more, when
the store holds all of them over when it held a tenth.
"""

from __future__ import annotations

import json
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks._rounds import Case, measure

START = 1_790_000_000_000_000_000
"""Nanoseconds since 1970."""
_LINE = 500
"""Spans of a request."""


def run(*, short: bool) -> dict[str, float]:
    """Write files as the Collector does, and read them."""
    from sandscope._store import Database, reading, summarize

    spans = 40_000 if short else 1_000_000
    random = Random(7)  # noqa: S311 -- no secret
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as early_folder:
        data, early = Path(folder), Path(early_folder)
        for each in (early, data):
            _write(each, 0, spans // 10, random)
            _ingest(each)  # the first one imports all that is needed
        _write(data, spans // 10, spans - spans // 10, random)
        seconds = _ingest(data)
        cases = {
            each: Case(partial(_ingest, each), before=partial(_write, each, 1 << 30, _LINE, random), most=1)
            for each in (early, data)
        }
        more = measure(cases, rounds=10)
        size = sum(path.stat().st_size for path in (data / "store").glob("*.parquet"))
        with reading(data / "store"), Database(data / "store") as database:
            summarize(database)
            begin = time.perf_counter()
            summary = summarize(database)
            asked = time.perf_counter() - begin
        assert summary.executions == spans + 11 * _LINE
    return {
        "store_ingest_per_second": (spans - spans // 10) / seconds,
        "store_bytes_per_span": size / summary.executions,
        "store_report_ms": asked * 1e3,
        "store_more_late_over_early": more[data] / more[early],
    }


def _ingest(data: Path) -> float:
    from sandscope._store import ingest, writing

    begin = time.perf_counter()
    with writing(data / "store"):
        ingest(data, data / "store")
    return time.perf_counter() - begin


def _write(data: Path, first: int, count: int, random: Random) -> None:
    with (data / "traces.jsonl").open("a", encoding="utf-8") as file:
        for begin in range(first, first + count, _LINE):
            spans = [_span(number, random) for number in range(begin, begin + _LINE)]
            scopes = [{"scope": {"name": "sandscope_instrumentation_wasmtime"}, "spans": spans}]
            resource = {"attributes": _attributes({"service.name": "app"})}
            request = {"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}
            file.write(json.dumps(request, separators=(",", ":")) + "\n")


def _span(number: int, random: Random) -> dict[str, Any]:
    start, duration = START + number * 1_000_000, int(random.lognormvariate(12, 1.5))
    failed = random.random() < 0.03
    return {
        "traceId": f"{random.getrandbits(128):032x}",
        "spanId": f"{random.getrandbits(64):016x}",
        "parentSpanId": f"{random.getrandbits(64):016x}",
        "name": f"wasm f{number % 37}",
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + duration),
        "attributes": _attributes(
            {
                "sandbox.runtime": "wasmtime",
                "sandbox.operation": "call",
                "sandbox.verdict.status": "RE" if failed else "OK",
                "sandbox.verdict.actor": "guest",
                "sandbox.verdict.cause": "re_unreachable" if failed else "normal_exit",
                "wasm.function": f"f{number % 37}",
                "wasm.module.name": "plugin.wasm",
                "wasm.memory.peak": str(65_536 * (1 + number % 9)),
            }
        ),
        "status": {},
    }


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
