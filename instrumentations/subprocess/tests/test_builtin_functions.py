"""The patched functions of ``os`` look like the built-in functions that they replace."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import pickle
import signal
import subprocess
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from harness import Telemetry
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

PLAIN: dict[str, Callable[..., Any]] = {
    name: getattr(os, name)
    for name in (
        *("kill", "killpg", "waitpid", "wait", "wait3", "wait4", "waitid"),
        *("system", "posix_spawn", "posix_spawnp"),
    )
    if hasattr(os, name)
}


@pytest.fixture(params=PLAIN)
def plain(request: pytest.FixtureRequest) -> Any:
    """Return a function as it is without instrumentation."""
    return PLAIN[request.param]


def _signature(function: Callable[..., Any]) -> Any:
    try:
        return inspect.signature(function)
    except ValueError as error:  # that of posix_spawn is invalid
        return str(error)


def _patched(plain: Callable[..., Any]) -> Any:
    patched = getattr(os, plain.__name__)
    assert patched is not plain, "not instrumented"
    return patched


def test_names_documentation_and_signature_are_those_of_the_function(ended: Any, plain: Any) -> None:
    patched = _patched(plain)
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", "__self__"):
        assert getattr(patched, name) == getattr(plain, name), name
    assert _signature(patched) == _signature(plain)
    assert repr(patched) == repr(plain)
    assert not inspect.isfunction(patched)
    assert callable(patched)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles_as_the_function_does(ended: Any, plain: Any, protocol: int) -> None:
    patched = _patched(plain)
    pickled = pickle.dumps(patched, protocol)
    assert pickle.loads(pickled) is patched  # noqa: S301 -- made in the line before
    assert plain.__module__.encode() in pickled
    assert copy.copy(patched) is patched
    assert copy.deepcopy([patched]) == [patched]


@pytest.mark.parametrize(
    ("args", "options"),
    [((), {}), (("x",), {}), ((1, 2, 3, 4, 5), {}), (("x", "y"), {}), ((1.5, 0), {}), ((1,), {"pid": 1})],
)
def test_wrong_arguments_raise_the_same_error(ended: Any, plain: Any, args: Any, options: Any) -> None:
    if (plain.__name__ in ("wait", "wait3") and not (args or options)) or (plain.__name__, args) == (
        "system",
        ("x",),
    ):
        return  # which are right
    with pytest.raises(TypeError) as expected:
        plain(*args, **options)
    with pytest.raises(TypeError) as caught:
        _patched(plain)(*args, **options)
    assert str(caught.value) == str(expected.value)


def test_what_was_uninstrumented_is_freed(telemetry: Telemetry) -> None:
    """Otherwise it would be asked at each fork of the program."""
    supports_fd, instrumentor = set(os.supports_fd), SubprocessInstrumentor()
    used = []
    for _ in range(2):  # the instrumentor keeps what it used last
        recorder = telemetry.recorder(instrumentor.scope)
        instrumentor.instrument(recorder=recorder)
        used.append((weakref.ref(instrumentor._registry), weakref.ref(recorder)))
        instrumentor.uninstrument()
    gc.collect()
    assert [reference() for reference in used[0]] == [None, None]
    assert os.supports_fd == supports_fd


def test_it_is_no_method_of_a_class_that_refers_to_it(ended: Any) -> None:
    class Host:
        send = os.kill

    with subprocess.Popen(["sleep", "600"]) as process:
        Host().send(process.pid, signal.SIGTERM)
    assert ended.verdict()[2] == "sig_sent_by_parent"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_sends_a_signal(ended: Any, method: str) -> None:
    with (
        subprocess.Popen(["sleep", "600"]) as process,
        ProcessPoolExecutor(1, mp_context=get_context(method)) as pool,
    ):
        assert pool.submit(os.kill, process.pid, signal.SIGKILL).result(60) is None
    assert ended.verdict() == ("SIG", "unknown", "sig_unattributed", None)
