"""Make what a release publishes, for every platform on one machine, and inspect it."""
