"""Loads of models, and what their files would do."""
