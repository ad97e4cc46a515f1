"""Benchmarks: one file a claim, each prints ratios that were measured side by side in one run.

`python -m benchmarks` runs all of them, `--short` with fewer rounds; both fail where a ratio is beyond its gate.
These machines are shared and noisy: only ratios mean anything.
"""
