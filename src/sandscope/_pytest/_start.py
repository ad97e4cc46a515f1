"""Sets up the SDK in a session that is recorded, and registers what records it."""

from __future__ import annotations

import os

import pytest

from sandscope import _settings
from sandscope._ci import detect
from sandscope._errors import SandscopeError

_SERVICE = "pytest"


def start(config: pytest.Config) -> None:
    """Record the session, if the option or the variable asks for it and the SDK is not disabled.

    Raises:
        UsageError: if a setting is invalid.
    """
    try:
        wanted = config.getoption("--sandscope") or _settings.read_boolean(_settings.PYTEST)
        if not wanted or _settings.sdk_disabled():
            return
        messages = _settings.read_boolean(_settings.PYTEST_MESSAGES)
        parameters = _settings.read_boolean(_settings.PYTEST_PARAMETERS)
        run = detect(os.environ)
        _instrument()
    except SandscopeError as error:
        raise pytest.UsageError(str(error)) from None
    from sandscope._pytest._recording import Recording
    from sandscope._pytest._session import Session
    from sandscope._pytest._xdist import Controller, Worker

    recording = Recording(config.rootpath.name, run, messages=messages)
    inputs = getattr(config, "workerinput", None)
    if inputs is None:
        config.pluginmanager.register(Session(recording, parameters=parameters), "sandscope-session")
        config.pluginmanager.register(Controller(recording), "sandscope-controller")
    else:
        config.pluginmanager.register(Worker(recording, inputs, parameters=parameters), "sandscope-session")


def _instrument() -> None:
    from sandscope._setup._defaults import temporary_environment
    from sandscope._setup._in_ci import ci_variables
    from sandscope._setup._process import instrument_this_process

    with temporary_environment(ci_variables(os.environ, detect(os.environ), _SERVICE)):
        instrument_this_process()
