// Generated from the telemetry.yaml files by `make docs`: names cannot drift from those of other runtimes.

export const METRICS = {
  "sandbox.executions": {"instrument": "counter", "unit": "{execution}", "description": "Executions that ended"},
  "sandbox.execution.duration": {"instrument": "histogram", "unit": "s", "description": "Time from the start of an execution to its end", "boundaries": [1e-05, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0]},
  "sandbox.execution.active": {"instrument": "updowncounter", "unit": "{execution}", "description": "Executions that are running"},
  "sandbox.limit.violations": {"instrument": "counter", "unit": "{violation}", "description": "Resource limits that were reached"},
  "sandbox.security.violations": {"instrument": "counter", "unit": "{violation}", "description": "Actions that sandboxes refused"},
  "sandscope.errors": {"instrument": "counter", "unit": "{error}", "description": "Internal errors of Sandscope, which are not raised into the program"},
  "sandscope.recorder.records": {"instrument": "counter", "unit": "{record}", "description": "Records of the deferred recorder, by outcome"},
  "wasm.active.instances": {"instrument": "updowncounter", "unit": "{instance}", "description": "Instances whose store lives"},
  "wasm.instance.creation.duration": {"instrument": "histogram", "unit": "s", "description": "Time to make an instance, its start function included", "boundaries": [1e-05, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0]},
  "wasm.memory.usage": {"instrument": "updowncounter", "unit": "By", "description": "Memory that living guests export"},
  "wasm.memory.peak": {"instrument": "histogram", "unit": "By", "description": "Memory that a store's guests export, when a call ends", "boundaries": [65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456, 1073741824, 4294967296]},
  "browser.errors": {"instrument": "counter", "unit": "{error}", "description": "Errors that the page did not handle"},
  "browser.web_vital.duration": {"instrument": "histogram", "unit": "s", "description": "LCP, INP, FCP and TTFB of page loads", "boundaries": [1e-05, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0]},
  "browser.web_vital.shift": {"instrument": "histogram", "unit": "", "description": "CLS of page loads", "boundaries": [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1]},
  "browser.memory.usage": {"instrument": "updowncounter", "unit": "By", "description": "JavaScript heap of the page in use, where the browser tells it (Chromium)"},
  "wasm.compilation.duration": {"instrument": "histogram", "unit": "s", "description": "Time to compile a module, its download included if it was streamed", "boundaries": [1e-05, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0]},
  "wasm.memory.pages": {"instrument": "updowncounter", "unit": "{page}", "description": "Pages of 64 KiB of the memories of living guests"},
} as const;

export const CAUSES = {
  "normal_exit": {"status": "OK", "actor": "guest"},
  "re_exception": {"status": "RE", "actor": "guest"},
  "ie_interrupted": {"status": "IE", "actor": "host"},
  "ie_host_killed": {"status": "IE", "actor": "unknown"},
  "ie_missing_evidence": {"status": "IE", "actor": "unknown"},
  "re_exit_code": {"status": "RE", "actor": "guest"},
  "re_unreachable": {"status": "RE", "actor": "guest"},
  "re_arithmetic": {"status": "RE", "actor": "guest"},
  "re_reference": {"status": "RE", "actor": "guest"},
  "re_stack_switching": {"status": "RE", "actor": "guest"},
  "re_async": {"status": "RE", "actor": "guest"},
  "re_memory_bounds": {"status": "RE", "actor": "guest"},
  "re_table_bounds": {"status": "RE", "actor": "guest"},
  "tle_fuel": {"status": "TLE", "actor": "engine"},
  "tle_epoch": {"status": "TLE", "actor": "engine"},
  "mle_stack": {"status": "MLE", "actor": "engine"},
  "mle_allocation": {"status": "MLE", "actor": "engine"},
  "mle_store_limit": {"status": "MLE", "actor": "engine"},
  "sv_memory_bounds": {"status": "SV", "actor": "engine"},
  "sv_table_bounds": {"status": "SV", "actor": "engine"},
  "sv_indirect_call": {"status": "SV", "actor": "engine"},
  "sv_misaligned": {"status": "SV", "actor": "engine"},
  "sv_component_boundary": {"status": "SV", "actor": "engine"},
  "sv_component_value": {"status": "SV", "actor": "engine"},
  "sv_unknown_import": {"status": "SV", "actor": "engine"},
  "ie_engine": {"status": "IE", "actor": "engine"},
  "ie_shared_stack": {"status": "IE", "actor": "unknown"},
  "ie_host_error": {"status": "IE", "actor": "host"},
  "ie_invalid_call": {"status": "IE", "actor": "host"},
  "ie_link": {"status": "IE", "actor": "host"},
  "re_page_error": {"status": "RE", "actor": "guest"},
  "sv_bounds": {"status": "SV", "actor": "engine"},
  "sv_content_security_policy": {"status": "SV", "actor": "engine"},
  "ie_compile": {"status": "IE", "actor": "host"},
  "ie_download": {"status": "IE", "actor": "host"},
} as const;

export type MetricName = keyof typeof METRICS;
export type Cause = keyof typeof CAUSES;

export type AttributeName =
  | "browser.error.source"
  | "browser.model"
  | "browser.model.input_size"
  | "browser.page"
  | "browser.web_vital.name"
  | "browser.web_vital.rating"
  | "browser.web_vital.value"
  | "error.type"
  | "exception.message"
  | "exception.stacktrace"
  | "exception.type"
  | "sandbox.abuse.pattern"
  | "sandbox.capability"
  | "sandbox.capability.granted"
  | "sandbox.cleanup.outcome"
  | "sandbox.cold_start.phase"
  | "sandbox.control"
  | "sandbox.control.missing"
  | "sandbox.duration"
  | "sandbox.guest.counter"
  | "sandbox.guest.reason"
  | "sandbox.guest.signal"
  | "sandbox.language"
  | "sandbox.limit"
  | "sandbox.operation"
  | "sandbox.queue"
  | "sandbox.relayed"
  | "sandbox.resource.limit"
  | "sandbox.resource.percentage"
  | "sandbox.resource.usage"
  | "sandbox.runtime"
  | "sandbox.verdict.actor"
  | "sandbox.verdict.cause"
  | "sandbox.verdict.status"
  | "sandbox.violation.action"
  | "sandbox.violation.resource"
  | "sandbox.violation.type"
  | "sandbox.worker.state"
  | "sandscope.component"
  | "sandscope.kept"
  | "sandscope.outcome"
  | "sandscope.recovered"
  | "sandscope.recovered.details_lost"
  | "sandscope.relay.outcome"
  | "sandscope.signal"
  | "sandscope.spool.outcome"
  | "security.event.type"
  | "security.vulnerability.fixed_in"
  | "security.vulnerability.id"
  | "security.vulnerability.package"
  | "security.vulnerability.version"
  | "wasm.api"
  | "wasm.compilation.included"
  | "wasm.cpu.time"
  | "wasm.exit_code"
  | "wasm.fuel.consumed"
  | "wasm.function"
  | "wasm.host_function"
  | "wasm.memory.peak"
  | "wasm.module"
  | "wasm.module.size"
  | "wasm.output.truncated"
  | "wasm.sandbox.id"
  | "wasm.wasi.errno"
  | "wasm.wasi.function"
  ;
