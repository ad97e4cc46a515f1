"""Benchmarks: one file a claim, each prints ratios measured side by side in one run."""
