"""Wrong: raises an exception."""

print(1 // 0)
