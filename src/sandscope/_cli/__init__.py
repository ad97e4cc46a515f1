"""The command line `sandscope`: `main.py`, and one module for each subcommand."""
