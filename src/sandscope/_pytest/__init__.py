"""The pytest plugin: a test session is a trace, and each test an execution in it."""
