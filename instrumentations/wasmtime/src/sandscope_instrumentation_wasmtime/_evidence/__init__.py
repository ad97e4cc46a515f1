"""What decides a verdict: traps, violations, limits, capabilities, and errors of host functions."""
