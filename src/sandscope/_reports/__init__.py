"""What a program reports itself: its queues, its workers, and security events."""
