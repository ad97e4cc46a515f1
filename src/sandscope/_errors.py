"""The error that a user can mend."""


class SandscopeError(Exception):
    """A configuration or environment error, raised while starting and never later.

    The message says what cannot be done, what was observed or tried, and one thing to do:
    ``Cannot <verb> <object>: <observed cause>. <One action>.``
    """
