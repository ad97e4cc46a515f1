"""What guests and their functions are called."""
