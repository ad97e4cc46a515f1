"""Too slow: never comes to an end."""

while True:
    pass
