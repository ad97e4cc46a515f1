"""Conditions on the evidence, for the rules of the verdicts."""
