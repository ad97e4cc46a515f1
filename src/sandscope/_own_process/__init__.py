"""This process: how it began, its forks, and its end."""
