"""What a child process gets from this one: the trace, and instrumentation."""
