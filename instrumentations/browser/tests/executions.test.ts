/** What compilations, instantiations and calls are recorded as. */

import { context, trace } from "@opentelemetry/api";
import { StackContextManager } from "@opentelemetry/sdk-trace";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IMPORTS, Page, exportsOf, guest, instance } from "./page.js";

let page: Page;
beforeEach(() => {
  Error.prepareStackTrace = undefined as never; // vitest sets it; stacks of the page's own making are not read
  page = new Page();
});
afterEach(() => page.leave());

const failing = (run: () => unknown) => {
  try {
    run();
  } catch {
    return;
  }
  throw new Error("it did not fail");
};

describe("verdicts on calls", () => {
  it.each([
    ["unreachable", [], "RE guest re_unreachable"],
    ["divide", [1, 0], "RE guest re_arithmetic"],
    ["truncate", [NaN], "RE guest re_arithmetic"],
    ["memory_bounds", [], "SV engine sv_memory_bounds"],
    ["table_bounds", [], "SV engine sv_table_bounds"],
    ["indirect_null", [], "SV engine sv_indirect_call"],
    ["indirect_type", [], "SV engine sv_indirect_call"],
    ["recurse", [], "MLE engine mle_stack"],
    ["divide", [1n, 1], "IE host ie_host_error"],
  ])("%s(%s): %s", (name, args, verdict) => {
    failing(() => exportsOf(instance())[name]!(...args));
    expect(page.verdict(`wasm ${name}`)).toBe(verdict);
  });

  it("success", () => {
    expect(exportsOf(instance()).add!(1, 2)).toBe(3);
    expect(page.verdict("wasm add")).toBe("OK guest normal_exit");
    expect(page.attributes("wasm add")).toMatchObject({
      "sandbox.runtime": "browser",
      "sandbox.operation": "call",
      "wasm.module": "guest",
      "wasm.function": "add",
      "wasm.memory.peak": 65536,
    });
  });

  it.each([
    [new Error("secret"), "IE host ie_host_error"],
    [new RangeError("Invalid array length"), "IE host ie_host_error"],
    [new WebAssembly.RuntimeError("unreachable secret"), "IE unknown ie_missing_evidence"],
    [{ name: "ExitStatus", status: 0 }, "OK guest normal_exit"],
    [{ name: "ExitStatus", status: 3 }, "RE guest re_exit_code"],
    ["text", "IE host ie_host_error"],
    [undefined, "IE host ie_host_error"],
  ])("what a function of the page throws: %s", (thrown, verdict) => {
    const callback = () => {
      throw thrown;
    };
    failing(() => exportsOf(instance({ env: { callback } } as never)).call_back!(1));
    expect(page.verdict("wasm call_back")).toBe(verdict);
    expect(JSON.stringify(page.spans().map(({ attributes, status, events }) => [attributes, status, events]))).not.toContain("secret");
    expect(JSON.stringify(page.logs("sandbox.execution").map((log) => [log.attributes, log.body]))).not.toContain("secret");
  });

  it("a stack that the page exhausts is not the guest's fault", () => {
    const callback = (): number => callback() + 1;
    failing(() => exportsOf(instance({ env: { callback } } as never)).call_back!(1));
    expect(page.verdict("wasm call_back")).toBe("IE host ie_host_error");
  });

  it("a stack that cannot be read has no culprit", () => {
    Error.prepareStackTrace = () => "the page's own";
    failing(() => exportsOf(instance()).recurse!());
    Error.prepareStackTrace = undefined as never;
    expect(page.verdict("wasm recurse")).toBe("IE unknown ie_shared_stack");
  });

  it("a stack that both exhaust has no culprit", () => {
    const imports = { env: { callback: (value: number): number => exports.call_back!(value) as number } };
    const exports = exportsOf(instance(imports as never));
    page.spanExporter.reset();
    failing(() => exports.call_back!(1));
    const causes = page.spans("wasm call_back").map((span) => span.attributes["sandbox.verdict.cause"]);
    expect(causes[0]).toBe("ie_shared_stack");
  });

  it("a violation is told of once, though it ends two calls", () => {
    const inner = exportsOf(instance());
    const outer = exportsOf(instance({ env: { callback: () => inner.memory_bounds!() } } as never));
    failing(() => outer.call_back!(1));
    expect(page.logs("sandbox.security")).toHaveLength(1);
    expect(page.verdict("wasm memory_bounds")).toBe(page.verdict("wasm call_back"));
    const [first, second] = [page.spans("wasm memory_bounds")[0]!, page.spans("wasm call_back")[0]!];
    expect(first.parentSpanContext?.spanId).toBe(second.spanContext().spanId);
  });
});

it.each(["all", "outer", "off"] as const)("with spans=%s, a violation and a limit are told of, as on a server", async (spans) => {
  await page.leave();
  page = new Page({ spans });
  const exports = exportsOf(instance());
  failing(() => exports.memory_bounds!());
  failing(() => exports.recurse!());
  const [violation] = page.logs("sandbox.security");
  expect(violation).toMatchObject({ severityText: "WARN", body: "wasm memory_bounds: sv_memory_bounds" });
  expect(violation?.attributes).toMatchObject({ "security.event.type": "sandbox_violation", "wasm.function": "memory_bounds" });
  expect(violation?.spanContext?.traceId).toBe("a".repeat(32));
  expect(page.logs("sandbox.resource")[0]?.attributes).toMatchObject({ "sandbox.limit": "stack" });
});

describe("compilations and instantiations", () => {
  it("from bytes, the moment at which imports are read divides them", async () => {
    await WebAssembly.instantiate(guest(), IMPORTS);
    const [compile] = page.spans("wasm compile");
    const [instantiate] = page.spans("wasm instantiate");
    expect(compile!.endTime).toEqual(instantiate!.startTime);
    expect(compile!.attributes).toMatchObject({ "wasm.api": "instantiate", "wasm.module": "guest", "wasm.module.size": guest().length });
    expect(instantiate!.attributes).not.toHaveProperty("wasm.compilation.included");
    expect(await page.points("wasm.compilation.duration")).toHaveLength(1);
  });

  it("without imports, nothing divides them", async () => {
    await WebAssembly.instantiate(guest("lonely"));
    expect(page.spans("wasm compile")).toEqual([]);
    expect(page.attributes("wasm instantiate")).toMatchObject({ "wasm.compilation.included": true });
    expect(await page.points("wasm.instance.creation.duration")).toEqual([]);
  });

  it.each([
    ["compile", () => WebAssembly.compile(new Uint8Array([0, 1, 2])), "IE host ie_compile"],
    ["compile", () => WebAssembly.compile("text" as never), "IE host ie_invalid_call"],
    ["compile", async () => new WebAssembly.Module(new Uint8Array(3)), "IE host ie_compile"],
    ["compile", () => WebAssembly.instantiate(new Uint8Array(3)), "IE host ie_compile"],
    ["compile", () => WebAssembly.compileStreaming(new Response("no wasm")), "IE host ie_download"],
    ["compile", () => WebAssembly.instantiateStreaming(Promise.reject(new TypeError("offline"))), "IE host ie_download"],
    ["instantiate", () => WebAssembly.instantiate(guest(), {}), "IE host ie_link"],
    ["instantiate", () => WebAssembly.instantiate(guest(), { env: { callback: 1 } } as never), "IE host ie_link"],
    ["instantiate", () => WebAssembly.instantiate(guest("trapping")), "RE guest re_unreachable"],
    ["instantiate", async () => instance({} as never), "IE host ie_link"],
  ])("a failed %s: %#", async (operation, run, verdict) => {
    await expect(run()).rejects.toBeDefined();
    expect(page.verdict(`wasm ${operation}`)).toBe(verdict);
  });

  it("streams", async () => {
    const response = () => new Response(guest(), { headers: { "content-type": "application/wasm" } });
    await WebAssembly.compileStreaming(Promise.resolve(response()));
    expect(page.attributes("wasm compile")).toMatchObject({ "wasm.api": "compileStreaming" });
    const { instance: made } = await WebAssembly.instantiateStreaming(response(), IMPORTS);
    expect(exportsOf(made).add!(1, 2)).toBe(3);
  });
});

describe("metrics", () => {
  it("count each call, by how it ended", async () => {
    const exports = exportsOf(instance());
    for (let call = 0; call < 5; call++) exports.nothing!();
    failing(() => exports.memory_bounds!());
    const points = await page.points("sandbox.executions");
    const calls = points.filter(({ attributes }) => attributes["sandbox.operation"] === "call");
    expect(calls.map(({ value, attributes }) => [attributes["sandbox.verdict.cause"], value])).toEqual([["normal_exit", 5], ["sv_memory_bounds", 1]]);
    expect(await page.points("sandbox.security.violations")).toHaveLength(1);
    expect((await page.points("sandbox.execution.active")).map(({ value }) => value)).toEqual([0, 0, 0]);
  });

  it("have the memories of living instances", async () => {
    const exports = exportsOf(instance());
    exports.grow!();
    expect((await page.points("wasm.memory.usage"))[0]?.value).toBe(3 * 65536);
    expect((await page.points("wasm.memory.pages"))[0]?.value).toBe(3);
    expect((await page.points("wasm.active.instances"))[0]?.value).toBe(1);
  });
});

describe("settings", () => {
  it("without functions, exports are the engine's", async () => {
    await page.leave();
    page = new Page({ functions: "none" });
    exportsOf(instance()).add!(1, 2);
    expect(page.spans("wasm add")).toEqual([]);
  });

  it("only the named functions are recorded", async () => {
    await page.leave();
    page = new Page({ functions: ["add"] });
    const exports = exportsOf(instance());
    exports.add!(1, 2);
    exports.nothing!();
    expect(page.spans().map(({ name }) => name)).toEqual(["wasm compile", "wasm instantiate", "wasm add"]);
  });

  it.each([["all", 2], ["outer", 1], ["off", 0]] as const)("spans=%s: %i spans of two nested calls", async (spans, number) => {
    await page.leave();
    page = new Page({ spans });
    const inner = exportsOf(instance());
    exportsOf(instance({ env: { callback: () => inner.add!(1, 2) } } as never)).call_back!(1);
    expect(page.spans("wasm add").length + page.spans("wasm call_back").length).toBe(number);
    const calls = (await page.points("sandbox.executions")).find(({ attributes }) => attributes["sandbox.operation"] === "call");
    expect(calls?.value).toBe(2);
  });

  it("messages are recorded only if the page allows it", async () => {
    await page.leave();
    page = new Page({ messages: true });
    const callback = () => {
      throw new Error("a message");
    };
    failing(() => exportsOf(instance({ env: { callback } } as never)).call_back!(1));
    expect(page.logs("sandbox.execution").at(-1)?.attributes).toMatchObject({ "exception.type": "Error", "exception.message": "a message" });
  });
});

it("spans are children of the page's load, which is a child of the server's span", () => {
  exportsOf(instance()).add!(1, 2);
  page.recorder.page.end();
  const [load] = page.spans("page load");
  expect(load!.parentSpanContext?.spanId).toBe("b".repeat(16));
  expect(page.spans("wasm add")[0]!.parentSpanContext?.spanId).toBe(load!.spanContext().spanId);
  expect(page.spans("wasm add")[0]!.spanContext().traceId).toBe("a".repeat(32));
});

it("a page that has OpenTelemetry itself has its context, before and inside a call", () => {
  expect(context.setGlobalContextManager(new StackContextManager().enable())).toBe(true);
  const seen: (string | undefined)[] = [];
  const callback = (value: number) => {
    seen.push(trace.getActiveSpan()?.spanContext().spanId);
    return value;
  };
  const exports = exportsOf(instance({ env: { callback } }));
  const own = { traceId: "c".repeat(32), spanId: "d".repeat(16), traceFlags: 1 };
  context.with(trace.setSpanContext(context.active(), own), () => exports.call_back!(1));
  const [called] = page.spans("wasm call_back");
  expect(called!.parentSpanContext?.spanId).toBe(own.spanId);
  expect(seen).toEqual([called!.spanContext().spanId]);
});
