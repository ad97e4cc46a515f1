"""What is measured beside the duration: memory, operators, devices."""
