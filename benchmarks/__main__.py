"""Run the benchmarks, print their ratios, and fail where one is beyond its bound."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import version

from benchmarks import cpu, hot_path, kept, paced, wrapped

AT_LEAST = {"hot_sdk_over_ours": 100, "cpu_sdk_over_ours": 20}
AT_MOST = {
    "hot_ours_over_empty": 60,
    "wrapped_over_plain_wasm_nop": 1.2,
    "wrapped_over_plain_wasm_add": 1.1,
    "wrapped_over_plain_subprocess": 1.05,
    "wrapped_over_plain_torch_linear": 1.25,
    "wrapped_over_plain_torch_150_layers": 1.01,
    "p999_paced_ours_over_none": 1.5,
}
EXACT = {"kept_and_dropped_over_n": 1, "metric_count_over_n": 1}


def main() -> int:
    """Return how many ratios are beyond their bounds."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--short", action="store_true", help="smaller, and with bounds twice as wide")
    short = parser.parse_args().short
    packages = ("opentelemetry-sdk", "wasmtime", "sandscope")
    print(f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in packages)}")
    beyond = 0
    for benchmark in (hot_path, cpu, wrapped, paced, kept):
        print(f"\n{(benchmark.__doc__ or '').splitlines()[0]}", flush=True)
        for name, value in benchmark.run(short=short).items():
            bound, good = _judge(name, value, 2.0 if short else 1.0)
            beyond += not good
            print(f"{'ok' if good else '--':3}{name:38}{value:12.5g}  {bound}", flush=True)
    return beyond


def _judge(name: str, value: float, slack: float) -> tuple[str, bool]:
    if name in AT_LEAST:
        return f">= {AT_LEAST[name]}", value >= AT_LEAST[name] / slack
    if name in AT_MOST:
        return f"<= {AT_MOST[name]}", value <= (AT_MOST[name] - 1) * slack + 1
    if name in EXACT:
        return f"= {EXACT[name]}", value == EXACT[name]
    return "", True


if __name__ == "__main__":
    sys.exit(main())
