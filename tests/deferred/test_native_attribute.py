"""The compiled attribute that answers one caller does what the class in its documentation does."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from types import MethodType
from typing import Any

import pytest

from sandscope._deferred import _compiled
from sandscope.instrumentation import native_attribute

NAME = "_called"


class State(threading.local):
    inside = False


def read(instance: Any) -> Any:
    """Read the attribute: this is the caller that it answers."""
    return instance._called


def in_python(name: str, code: Any, state: Any, call: Any) -> Any:
    class Attribute:
        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is not None and not state.inside and sys._getframe(1).f_code is code:
                return MethodType(call, instance)
            return None if instance is None else vars(instance).get(name)

        def __set__(self, instance: Any, value: Any) -> None:
            vars(instance)[name] = value

        def __delete__(self, instance: Any) -> None:
            try:
                del vars(instance)[name]
            except KeyError:
                raise AttributeError(name) from None

    return Attribute()


@pytest.fixture(params=["python", "compiled"])
def make(request: pytest.FixtureRequest) -> Any:
    if request.param == "python":
        return in_python
    if _compiled.python_reason:
        pytest.skip(_compiled.python_reason)
    return native_attribute


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def owner(make: Any, state: State) -> Any:
    attribute = make(NAME, read.__code__, state, lambda self, value: (self, value))
    return type("Owner", (), {NAME: attribute})


def test_only_the_caller_gets_the_method(owner: Any) -> None:
    instance = owner()
    assert read(instance)(5) == (instance, 5)
    assert instance._called is None
    assert owner._called is None
    assert getattr(instance, NAME) is None


def test_inside_there_is_no_method(owner: Any, state: State) -> None:
    instance = owner()
    state.inside = True
    assert read(instance) is None
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(read(instance)))
    thread.start()
    thread.join()
    assert found[0](1) == (instance, 1), "another thread is not inside"
    state.inside = False
    assert read(instance) is not None


def test_a_value_of_the_instance(owner: Any, state: State) -> None:
    instance = owner()
    instance._called = "own"
    assert vars(instance) == {NAME: "own"}
    assert instance._called == "own"
    state.inside = True
    assert read(instance) == "own"
    del instance._called
    assert read(instance) is None
    with pytest.raises(AttributeError, match=NAME):
        del instance._called


def test_a_state_that_raises(make: Any) -> None:
    class Broken:
        @property
        def inside(self) -> bool:
            raise ValueError("canary")

    owner = type("Owner", (), {NAME: make(NAME, read.__code__, Broken(), print)})
    with pytest.raises(ValueError, match="canary"):
        read(owner())


def test_what_it_refers_to_is_freed(make: Any, state: State) -> None:
    def call(_instance: Any) -> Any:
        raise NotImplementedError

    vars(call)["owner"] = type("Owner", (), {NAME: make(NAME, read.__code__, state, call)})  # a cycle
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(bool(_compiled.python_reason), reason="no compiled code")
def test_wrong_arguments_are_refused() -> None:
    for arguments in ((), (1, read.__code__, None, None), (NAME, None, None, None)):
        with pytest.raises(TypeError):
            native_attribute(*arguments)


@pytest.mark.skipif(bool(_compiled.python_reason), reason="no compiled code")
def test_references_are_counted(state: State) -> None:
    owner = type("Owner", (), {NAME: native_attribute(NAME, read.__code__, state, print)})
    instance, value = owner(), object()
    instance._called = value
    counts = [sys.getrefcount(each) for each in (value, instance, state, print)]
    for inside in (False, True):
        state.inside = inside
        for _ in range(1000):
            read(instance)
            instance._called  # noqa: B018 -- it is read
            instance._called = value
    assert [sys.getrefcount(each) for each in (value, instance, state, print)] == counts
