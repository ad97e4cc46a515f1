"""Too large: allocates more and more memory."""

held = []
while True:
    held.append(b"x" * (8 << 20))
