"""One trace through a WebAssembly guest, child processes and a model: `make demo`."""
