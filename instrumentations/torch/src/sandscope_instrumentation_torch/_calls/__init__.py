"""How a call of a model is recorded."""
