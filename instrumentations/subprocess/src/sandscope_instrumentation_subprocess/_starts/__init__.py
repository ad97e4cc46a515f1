"""How children start: the functions beside `Popen`, and what a child gets."""
