"""CI runs a few failed tests again, alone: on a busy machine, one of 6,000 may fail by chance."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_MOST = 3
_IS_SECOND = "SANDSCOPE_TEST_SECOND_TRY"


class SecondTry:
    """A pytest plugin. If all tests that failed pass alone, the run succeeds and names them."""

    def __init__(self) -> None:
        self._failed: dict[str, None] = {}
        self._passed_alone = False

    @classmethod
    def register(cls, config: pytest.Config) -> None:
        """Use the plugin in CI, unless this process runs tests for another one."""
        if (
            os.environ.get("CI") == "true"
            and _IS_SECOND not in os.environ
            and not hasattr(config, "workerinput")
        ):
            config.pluginmanager.register(cls())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the name of a failed test."""
        if report.failed:
            self._failed[report.nodeid] = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Run the failed tests again."""
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED or not 0 < len(self._failed) <= _MOST:
            return
        writer = session.config.get_terminal_writer()
        writer.line(f"\nonce more, alone: {', '.join(self._failed)}")
        writer.flush()
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", *self._failed]
        again = subprocess.run(
            command, cwd=session.config.rootpath, env={**os.environ, _IS_SECOND: "1"}, check=False
        )
        if again.returncode == 0:
            self._passed_alone = True
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what passed the second time."""
        if self._passed_alone:
            for test in self._failed:
                terminalreporter.write_line(f"Failed beside other tests, and passed alone: {test}")
