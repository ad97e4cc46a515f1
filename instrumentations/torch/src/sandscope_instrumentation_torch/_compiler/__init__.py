"""What `torch.compile` does, and the functions that it has compiled."""
