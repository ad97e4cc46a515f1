"""What is measured: calls, instances, memory, fuel, CPU time, the module cache."""
