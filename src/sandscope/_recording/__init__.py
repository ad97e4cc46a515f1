"""From executions to spans, metrics and log records: the recorder, its mapping, and the direct recorder."""
