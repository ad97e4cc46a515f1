"""Too slow: never ends."""

while True:
    pass
