"""A judge: one request is one trace with executions in three runtimes; some of them fail, each in its own way."""

import os
import resource
import subprocess
import sys
from contextlib import suppress

import wasmtime
from opentelemetry import trace

import sandscope

GUEST = """(module
  (import "host" "fetch" (func $fetch (result i32)))
  (func (export "score") (param i32) (result i32)
    (local $i i32)
    (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $i) (local.get 0))))
    (call $fetch))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "peek") (result i32) (i32.load (i32.const 0x7fffffff)))
  (memory (export "memory") 4))"""
tracer = trace.get_tracer("judge")


def limit_cpu() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))


def fetch() -> int:
    subprocess.run(["sh", "-c", "sleep 0.01"], check=True)
    return 1


def guest() -> dict:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module(engine, GUEST)
    host = wasmtime.Func(store, wasmtime.FuncType([], [wasmtime.ValType.i32()]), fetch)
    exports = wasmtime.Instance(store, module, [host]).exports(store)
    return {name: lambda *args, f=exports[name]: f(store, *args) for name in ("score", "divide", "peek")}


def expected_to_fail(call, *arguments) -> None:
    with suppress(wasmtime.WasmtimeError, wasmtime.Trap):
        call(*arguments)


def request(number: int) -> None:
    with (
        tracer.start_as_current_span("POST /submissions"),
        sandscope.execution("judge", "run", name="judge a submission"),
    ):
        if number % 6 == 5:
            user = {"user.id": f"student-{number}", "client.address": "192.0.2.7"}
            sandscope.security_event("auth_failure", "the token has expired", user=user)
        functions = guest()
        functions["score"](10_000 * (1 + number % 7))
        subprocess.run([sys.executable, "-c", "sum(range(100_000))"], check=True)
        if number % 4 == 1:
            subprocess.run(["sh", "-c", "echo no such input >&2; exit 3"], check=False)
        if number % 5 == 2:
            expected_to_fail(functions["divide"], 0)
        if number % 11 == 3:
            expected_to_fail(functions["peek"])


def agent() -> None:
    with tracer.start_as_current_span(
        "invoke_agent adder",
        attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"},
    ):
        for call, code in enumerate(("sum(range(10))", "1 / 0")):
            attributes = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "run_python",
                "gen_ai.tool.call.id": f"call_{call}",
            }
            with tracer.start_as_current_span("execute_tool run_python", attributes=attributes):
                subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)


for number in range(int(os.environ["SUBMISSIONS"])):
    request(number)
agent()
subprocess.run(["sh", "-c", "while :; do :; done"], preexec_fn=limit_cpu, check=False)
