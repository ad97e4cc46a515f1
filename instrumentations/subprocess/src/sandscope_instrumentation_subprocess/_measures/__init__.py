"""What is measured of a child, and observed beside its verdict."""
