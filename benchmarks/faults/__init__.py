"""Faults as a test bench: whatever dies on the way, each execution that a program has seen ending is in every store.

`make test-faults` starts the real stores, the real Collector, and programs that run wasmtime, subprocess and torch, and
makes one fault after the other happen to them. Every execution has a trace id of its own, which the program appends to
a file when the call has returned. At the end, each of these ids is looked up in every store.
"""
