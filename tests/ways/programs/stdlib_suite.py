"""Run CPython's test_subprocess, or some of its tests, and write the outcomes to a file."""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path

# It contains the folder of the stock wrapper. Hundreds of Python children would each load the SDK; this suite tests
# the process that starts them.
os.environ.pop("PYTHONPATH", None)

report, *names = sys.argv[1:]
suite = unittest.defaultTestLoader.loadTestsFromNames(names or ["test.test_subprocess"])
result = unittest.TextTestRunner().run(suite)
outcomes = {
    "ran": result.testsRun,
    "skipped": sorted(test.id() for test, _ in result.skipped),
    "failed": {test.id(): text for test, text in result.failures + result.errors},
}
Path(report).write_text(json.dumps(outcomes))
