"""A compiled descriptor for a runtime that asks its objects for an attribute on each call."""

from __future__ import annotations

from types import CodeType
from typing import Any


def native_attribute(name: str, code: CodeType, state: Any, call: Any) -> Any:
    """Return a data descriptor that answers one caller with a method, or None if there is no compiled code.

    It is what this class does, compiled::

        class Attribute:
            def __get__(self, instance, owner=None):
                if instance is not None and not state.inside and sys._getframe(1).f_code is code:
                    return MethodType(call, instance)
                return None if instance is None else vars(instance).get(name)

            def __set__(self, instance, value):
                vars(instance)[name] = value

    Args:
        name: the attribute's name. A value of an instance is in its ``__dict__``; without one, it is None.
        code: of the only function that is answered with the method.
        state: an object whose attribute ``inside`` is whether it is not; that of a thread, for example.
        call: the function of the method.
    """
    from sandscope._deferred._compiled import Attribute

    return None if Attribute is None else Attribute(name, code, state, call)
