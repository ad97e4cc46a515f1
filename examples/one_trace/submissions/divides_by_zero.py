"""Wrong: fails by itself."""

print(1 // 0)
