"""What a verdict is decided by: traps, refusals, capabilities, errors of host functions."""
