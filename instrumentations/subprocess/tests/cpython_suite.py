"""Runs CPython's ``test_subprocess``, instrumented if told so, and prints what ran and what did not pass."""

import json
import sys
import unittest

if sys.argv[1] == "instrumented":
    from opentelemetry.sdk.trace import TracerProvider

    from sandscope_instrumentation_subprocess import SubprocessInstrumentor

    SubprocessInstrumentor().instrument(tracer_provider=TracerProvider())

suite = unittest.defaultTestLoader.loadTestsFromName("test.test_subprocess")
result = unittest.TextTestRunner().run(suite)
bad = sorted(test.id() for test, _ in result.failures + result.errors)
print(json.dumps({"ran": result.testsRun, "skipped": len(result.skipped), "bad": bad}))  # noqa: T201
