"""Setting up the SDK: the distro, its configurator, the choice of recorder, and the end of the process."""
