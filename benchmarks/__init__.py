"""Benchmarks: each file checks one claim, and prints ratios of times that were measured in turn.

`python -m benchmarks` runs all of them, with `--short` in fewer rounds. It fails if a figure is beyond its gate.
Absolute times depend on the machine and on what else runs on it. Compare only the ratios.
"""
