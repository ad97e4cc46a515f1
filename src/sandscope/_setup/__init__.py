"""SDK set-up: the distro, the configurator, the choice of recorder, and the shutdown at exit."""
