"""Nothing is imported before the program uses it, and nothing is missed because of that."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from harness import SANDSCOPE_RUN, STOCK, OtlpSink, clean_environment, run_program
from sandscope._child import _children

LIGHT = {"PYTHONPATH": _children.FOLDER}
ONE_CALL = """
import wasmtime
store = wasmtime.Store()
module = wasmtime.Module(store.engine, '(module (func (export "run")))')
wasmtime.Instance(store, module, []).exports(store)["run"](store)
"""


def _imported(program: str, *, before: str = "", **variables: str) -> set[str]:
    """Return the modules that are imported when a program ends."""
    environment = clean_environment(**variables)
    del environment["SANDSCOPE_SPOOL"]  # settings are checked if there are some
    run = run_program(
        f"{before}\n{program}\nimport sys; print(*sys.modules)",
        way=(),
        environment=environment,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return set(run.stdout.split())


@pytest.mark.parametrize("way", ["sandscope.auto", "PYTHONPATH"])
def test_a_program_that_uses_nothing_imports_next_to_nothing(way: str) -> None:
    plain = _imported("pass")
    light = _imported("import sandscope.auto") if way == "sandscope.auto" else _imported("pass", **LIGHT)
    assert not [name for name in light if name.startswith("opentelemetry")]
    assert len(light - plain) < 20, light - plain


def test_a_program_that_starts_no_child_imports_no_sdk() -> None:
    assert "opentelemetry" not in _imported("import subprocess", **LIGHT)


def test_only_the_runtime_that_is_used_is_instrumented() -> None:
    variables = LIGHT | {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    imported = _imported("import subprocess; subprocess.run(['true'])", **variables)
    assert "sandscope_instrumentation_subprocess" in imported
    assert "sandscope_instrumentation_wasmtime" not in imported


def test_a_collector_on_this_machine_does_not_need_requests() -> None:
    if "_transport" not in signature(OTLPSpanExporter.__init__).parameters:
        pytest.skip("The exporters of OpenTelemetry 1.44 always need requests.")
    with OtlpSink() as sink:
        imported = _imported(
            "import subprocess; subprocess.run(['true'])", **LIGHT, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint
        )
    assert "requests" not in imported


def test_a_first_child_does_not_need_what_auto_instrumentation_and_detectors_import() -> None:
    with OtlpSink() as sink:
        imported = _imported(
            "import subprocess; subprocess.run(['true'])", **LIGHT, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint
        )
        assert sink.names() == ["true"]
    assert not imported & {
        "asyncio",
        "packaging",
        "psutil",
        "wrapt",
        "opentelemetry.instrumentation.instrumentor",
    }


def test_the_detector_of_processes_has_psutil() -> None:
    program = """
import sandscope.auto, subprocess
subprocess.run(['true'])
import psutil
print(psutil.Process().username())
"""
    with OtlpSink() as sink:
        run = run_program(
            program,
            way=(),
            environment=clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process"
            ),
        )
    assert (run.returncode, run.stderr) == (0, "")
    assert {resource["process.owner"] for resource in sink.resources} == {run.stdout.strip()}


@pytest.mark.parametrize(
    ("group", "reference"),
    [
        ("opentelemetry_pre_instrument", "of_others:before"),
        ("opentelemetry_post_instrument", "of_others:after"),
        ("opentelemetry_instrumentor", "of_others:Instrumentor"),
    ],
)
def test_what_other_packages_have_installed_is_called(tmp_path: Path, group: str, reference: str) -> None:
    (tmp_path / "of_others-1.dist-info").mkdir()
    (tmp_path / "of_others-1.dist-info/entry_points.txt").write_text(f"[{group}]\nothers = {reference}\n")
    (tmp_path / "of_others-1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: of_others\nVersion: 1\n"
    )
    (tmp_path / "of_others.py").write_text(
        "def before(): print('called')\nafter = before\nclass Instrumentor:\n    def instrument(self, **_): before()\n"
    )
    environment = clean_environment(PYTHONPATH=os.pathsep.join([_children.FOLDER, str(tmp_path)]))
    run = run_program("import subprocess; subprocess.run(['true'])", way=(), environment=environment)
    assert run.stdout == "called\n"


@pytest.mark.parametrize("way", ["sandscope.auto", "PYTHONPATH", "stock"])
@pytest.mark.parametrize(
    ("program", "spans"),
    [
        ("import subprocess; subprocess.run(['true'])", ["true"]),
        ("from subprocess import Popen; Popen(['true']).wait()", ["true"]),
        ("import os; os.popen('true').close()", ["sh"]),
        ("import os; os.system('true')", ["sh"]),
        ("from os import system; system('true'); system('true')", ["sh", "sh"]),
        ("import os; os.waitpid(os.posix_spawn('/bin/true', ['true'], os.environ), 0)", ["true"]),
        ("import os; os.waitpid(os.posix_spawnp('true', ['true'], os.environ), 0)", ["true"]),
        ("import os; os.spawnlp(os.P_WAIT, 'true', 'true')", ["true"]),
        ("import pty; pty.spawn('true', lambda _: b'', lambda _: b'')", ["true"]),
        ("import os\n"
         "if not (pid := os.fork()): os.execlp('true', 'true')\n"
         "os.waitpid(pid, 0)", ["true"]),
        ("import asyncio\n"
         "async def main(): await (await asyncio.create_subprocess_exec('true')).wait()\n"
         "asyncio.run(main())", ["true"]),
        ("import threading, subprocess\n"
         "threads = [threading.Thread(target=subprocess.run, args=(['true'],)) for _ in range(4)]\n"
         "[thread.start() for thread in threads]; [thread.join() for thread in threads]", ["true"] * 4),
        (ONE_CALL, ["wasm run"]),
        ("from opentelemetry import trace; trace.get_tracer('own').start_span('own').end()", ["own"]),
        ("from opentelemetry.sdk.trace import Span\n"
         "from opentelemetry import trace; trace.get_tracer('own').start_span('own').end()", ["own"]),
        ("import sandscope\nwith sandscope.execution('docker', 'run', name='own'): pass", ["own"]),
        ("import opentelemetry.baggage, subprocess; subprocess.run(['true'])", ["true"]),
    ],
    ids=["run", "Popen", "os.popen", "os.system", "os.system by name", "posix_spawn", "posix_spawnp", "os.spawn", "pty",
         "fork and exec", "asyncio", "threads", "wasmtime", "own span", "own SDK", "execution", "both"],
)  # fmt: skip
def test_the_first_use_is_recorded(way: str, program: str, spans: list[str]) -> None:
    with OtlpSink() as sink:
        variables = LIGHT if way == "PYTHONPATH" else {}
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **variables)
        if way == "sandscope.auto":
            program = f"import sandscope.auto\n{program}"
        run = run_program(program, way=STOCK if way == "stock" else (), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names() == spans


@pytest.mark.parametrize("name", ["system", "posix_spawn", "posix_spawnp", "fork", "forkpty"])
def test_functions_that_start_a_child_look_as_without_sandscope(name: str) -> None:
    program = f"""
import copy, os, pickle
function = os.{name}
print(repr(function), function.__module__, function.__name__, function.__doc__, function.__text_signature__)
print(pickle.loads(pickle.dumps(function)) is function, copy.copy(function) is function, pickle.dumps(function))
try:
    function(1, 2)
except TypeError as error:
    print(error)
"""
    plain = run_program(program, way=(), environment=clean_environment())
    light = run_program(program, way=(), environment=clean_environment(**LIGHT))
    assert (light.stdout, light.stderr) == (plain.stdout, "")


def test_a_fork_of_multiprocessing_is_no_use() -> None:
    program = "from multiprocessing import Process\np = Process(target=print); p.start(); p.join()"
    before = "import multiprocessing; multiprocessing.set_start_method('fork')"
    assert "opentelemetry" not in _imported(program, before=before, **LIGHT)


@pytest.mark.parametrize("way", ["PYTHONPATH", "stock"])
def test_a_python_child_starts_the_light_way_and_continues_the_trace(way: str) -> None:
    child = "import sys; print(len([n for n in sys.modules if n.startswith('opentelemetry')]))\n" + ONE_CALL
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **(LIGHT if way == "PYTHONPATH" else {})
        )
        run = run_program(program, way=STOCK if way == "stock" else (), environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, "0\n", "")
    assert sink.names() == sorted([Path(sys.executable).name, "wasm run"])
    assert len({span.trace_id for span in sink.spans}) == 1


@pytest.mark.parametrize(
    ("setting", "spans", "traces"),
    [("continue", 2, 1), ("trace", 1, 1), ("off", 1, 1)],
    ids=str,
)
@pytest.mark.parametrize("env", ["inherited", "given"])
def test_what_children_get(setting: str, spans: int, traces: int, env: str) -> None:
    child = f"import os; print('TRACEPARENT' in os.environ)\n{ONE_CALL}"
    options = "" if env == "inherited" else ", env=dict(os.environ)"
    program = (
        f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True{options})"
    )
    with OtlpSink() as sink:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, SANDSCOPE_CHILDREN=setting, **LIGHT
        )
        run = run_program(program, way=(), environment=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{setting != 'off'}\n", "")
    assert (len(sink.spans), len({span.trace_id for span in sink.spans})) == (spans, traces)


def test_the_hidden_sitecustomize_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.customized = __file__\n")
    path = os.pathsep.join([_children.FOLDER, str(tmp_path)])
    program = "import sys, sitecustomize; print(customized == sitecustomize.__file__, 'python_path' in str(sys.path))"
    run = run_program(program, way=(), environment=clean_environment(PYTHONPATH=path))
    assert (run.returncode, run.stdout, run.stderr) == (0, "True False\n", "")


def test_an_invalid_setting_does_not_stop_the_program() -> None:
    environment = clean_environment(SANDSCOPE_CHILDREN="perhaps", **LIGHT)
    run = run_program("print('ran')", way=(), environment=environment)
    assert (run.returncode, run.stdout) == (0, "ran\n")
    assert run.stderr.startswith(
        "sandscope: Cannot read SANDSCOPE_CHILDREN='perhaps': it is not continue, trace or off."
    )
    assert run.stderr.count("\n") == 1


def test_a_python_without_sandscope_is_not_affected() -> None:
    """Without site-packages, `sandscope` cannot be imported."""
    run = subprocess.run(
        [sys.executable, "-S", "-c", "import sitecustomize; print('ran')"],
        env=clean_environment(**LIGHT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "ran\n", "")


@pytest.mark.parametrize(
    ("way", "variables"), [(STOCK, {}), ((), LIGHT), ((), {"AUTO": "1"})], ids=["wrapper", "path", "auto"]
)
@pytest.mark.parametrize("runtime", ["subprocess", "wasmtime"])
def test_an_invalid_setting_of_an_instrumentation_is_one_line(
    way: tuple[str, ...], variables: dict[str, str], runtime: str
) -> None:
    program = (
        "import os\nif 'AUTO' in os.environ: import sandscope.auto\n"
        "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', '']); import wasmtime; print('ran')"
    )
    name = f"SANDSCOPE_{runtime.upper()}_OUTPUT"
    exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    environment = clean_environment(**{name: "perhaps"}, **variables, **exporters)
    run = run_program(program, way=way, environment=environment)
    assert (run.returncode, run.stdout) == (0, "ran\n")
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"sandscope: Cannot read {name}='perhaps': it is not ")
    assert " Set it to " in line
    assert line.endswith(f"{runtime} is not instrumented.")


def test_an_invalid_setting_is_one_line_under_the_stock_wrapper() -> None:
    run = run_program("print('ran')", way=STOCK, environment=clean_environment(SANDSCOPE_CHILDREN="perhaps"))
    assert (run.returncode, run.stdout) == (0, "ran\n")
    (line,) = run.stderr.splitlines()
    assert line.startswith(
        "sandscope: Cannot read SANDSCOPE_CHILDREN='perhaps': it is not continue, trace or off."
    )
    assert line.endswith("The program runs without instrumentation.")


def test_a_set_up_that_is_interrupted_says_so_and_the_interrupt_arrives() -> None:
    program = """
import sandscope.auto, subprocess, sys

class CtrlC:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "opentelemetry.sdk.trace":
            sys.meta_path.remove(CtrlC)
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC)
try:
    subprocess.run(["true"])
except KeyboardInterrupt:
    print("interrupted")
print(subprocess.run(["true"]).returncode)
"""
    run = run_program(program, way=())
    assert (run.returncode, run.stdout) == (0, "interrupted\n0\n")
    assert "sandscope: The set-up was interrupted." in run.stderr


def test_modules_look_as_without_sandscope() -> None:
    program = """
import pickle, subprocess, inspect
import opentelemetry.trace as trace
print(vars(trace.__loader__).keys(), trace.__spec__.loader is trace.__loader__, len(inspect.getsource(trace)) > 99)
print(pickle.loads(pickle.dumps(subprocess.Popen)) is subprocess.Popen)
"""
    plain = run_program(program, way=(), environment=clean_environment())
    light = run_program(program, way=(), environment=clean_environment(**LIGHT))
    assert (light.stdout, light.stderr) == (plain.stdout, "")


def test_a_module_that_starts_a_child_while_it_is_imported_is_patched_afterwards(tmp_path: Path) -> None:
    """As torch does: it asks ldconfig for CUDA's libraries."""
    start = "import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', 'pass'], check=True)\n"
    (tmp_path / "slow.py").write_text(f"{start}attribute = 1\n")
    program = """
import sandscope.auto
from sandscope import _first_use
seen = []
_first_use.after_import("slow", lambda module: seen.append(hasattr(module, "attribute")))
import slow
print(seen)
"""
    environment = clean_environment(
        OTEL_TRACES_EXPORTER="none", OTEL_LOGS_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
    )
    run = run_program(program, way=(), environment=environment | {"PYTHONPATH": str(tmp_path)})
    assert (run.returncode, run.stdout) == (0, "[True]\n"), run.stderr


@pytest.mark.parametrize("name", ["__hello__", "_ast"], ids=["frozen", "built in"])
def test_what_is_to_be_done_after_the_import_of_a_module_without_a_file_is_done(name: str) -> None:
    code = f"""if True:
        import sys
        from sandscope import _first_use
        sys.modules.pop({name!r}, None)
        seen = []
        _first_use.after_import({name!r}, seen.append)
        import {name} as module
        assert seen == [module]
        assert isinstance(module.__loader__, type)
        assert module.__spec__.loader is module.__loader__
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failed_import_is_raised_as_before() -> None:
    program = "import opentelemetry.nothing"
    plain = run_program(program, way=(), environment=clean_environment())
    light = run_program(program, way=(), environment=clean_environment(**LIGHT))
    assert (light.returncode, light.stderr) == (plain.returncode, plain.stderr)


def test_sandscope_run_refuses_an_invalid_setting_before_anything_starts() -> None:
    run = run_program(
        "print('ran')", way=SANDSCOPE_RUN, environment=clean_environment(SANDSCOPE_CHILDREN="perhaps")
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert "Cannot read SANDSCOPE_CHILDREN='perhaps'" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "first_use", ["import subprocess; subprocess.run(['true'])", ""], ids=["before", "in it"]
)
def test_what_the_programs_own_exit_handlers_do_is_recorded(first_use: str) -> None:
    program = f"""
import atexit
atexit.register(lambda: __import__("subprocess").run(["true"]))
{first_use}
"""
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **LIGHT)
        run = run_program(program, way=(), environment=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names() == ["true"] * (2 if first_use else 1)


@pytest.mark.parametrize("thread", ["this", "another"])
def test_a_module_that_is_being_imported_is_not_patched_before_it_is_complete(
    thread: str, tmp_path: Path
) -> None:
    """Something uses OpenTelemetry in the meantime, such as the thread that sends what the spool holds."""
    own = "import opentelemetry.trace" if thread == "this" else OTHER_THREAD
    (tmp_path / "runtime.py").write_text(f"{own}\nready = True\n")
    program = """
import sandscope.auto
from sandscope import _first_use
_first_use.after_import("runtime", lambda module: print(module.ready))
import runtime
"""
    run = run_program(program, way=(), environment=clean_environment(PYTHONPATH=str(tmp_path)))
    assert (run.stdout, run.stderr) == ("True\n", "")


OTHER_THREAD = """
import threading
other = threading.Thread(target=__import__, args=("opentelemetry.trace",))
other.start()
other.join()
"""
