"""What guests emit themselves through their host: bounded, and always in the trace of their own execution."""
