"""Correct: the sum of the first million squares."""

print(sum(n * n for n in range(1_000_000)))
