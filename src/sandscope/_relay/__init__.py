"""Receives what children write to their pipes, checks it, and sends it on: see ``docs/decisions/0031``."""
