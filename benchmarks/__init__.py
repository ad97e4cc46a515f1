"""Benchmarks: one file a claim, each prints ratios that were measured side by side in one run.

`python -m benchmarks` runs all of them; `--short` runs them smaller and fails where a ratio is off by
more than twice. These machines are shared and noisy: only ratios mean anything.
"""
