"""Generations by transformers."""
