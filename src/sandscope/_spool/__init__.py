"""Keeps requests that the Collector does not take in a folder on disk, and sends them when it does."""
