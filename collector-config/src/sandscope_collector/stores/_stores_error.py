"""The error that a user can correct."""


class StoresError(Exception):
    """A store cannot be built, started or stopped.

    The message has the form of every message of Sandscope:
    ``Cannot <verb> <object>: <observed cause>. <One action to take.>``
    """
