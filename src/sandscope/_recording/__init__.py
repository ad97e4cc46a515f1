"""Recording executions as spans, metrics and log records: the protocol, the mapping, and the direct recorder."""
