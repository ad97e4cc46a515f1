"""Run the benchmarks and print their ratios."""

from __future__ import annotations

import sys

from benchmarks import cpu, hot_path, kept

short = "--short" in sys.argv
for benchmark in (hot_path, cpu, kept):
    print(f"# {benchmark.__doc__.splitlines()[0]}", flush=True)
    for name, value in benchmark.run(short=short).items():
        print(f"{name:30}{value:12.4g}", flush=True)
