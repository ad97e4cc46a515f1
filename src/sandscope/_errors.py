"""The error for problems that the user can correct."""


class SandscopeError(Exception):
    """An error in the configuration or the environment. Raised only at start-up.

    The message says what failed, what was observed, and one action that corrects it:
    ``Cannot <verb> <object>: <observed cause>. <One action>.``
    """
