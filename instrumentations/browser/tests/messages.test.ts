/** Each message of the three engines, and what else is decided by text. */

import { describe, expect, it } from "vitest";
import { failedCall, failedCompilation } from "../src/evidence.js";

const trap = (message: string) => failedCall(new WebAssembly.RuntimeError(message), false).verdict.cause;

describe("messages of traps", () => {
  it.each([
    // V8
    ["unreachable", "re_unreachable"],
    ["divide by zero", "re_arithmetic"],
    ["remainder by zero", "re_arithmetic"],
    ["divide result unrepresentable", "re_arithmetic"],
    ["float unrepresentable in integer range", "re_arithmetic"],
    ["memory access out of bounds", "sv_memory_bounds"],
    ["data segment out of bounds", "sv_memory_bounds"],
    ["table index is out of bounds", "sv_table_bounds"],
    ["element segment out of bounds", "sv_table_bounds"],
    ["null function or function signature mismatch", "sv_indirect_call"],
    ["operation does not support unaligned accesses", "sv_misaligned"],
    ["dereferencing a null pointer", "re_reference"],
    ["illegal cast", "re_reference"],
    ["array element access out of bounds", "re_reference"],
    ["requested new array is too large", "mle_allocation"],
    // SpiderMonkey
    ["unreachable executed", "re_unreachable"],
    ["integer overflow", "re_arithmetic"],
    ["integer divide by zero", "re_arithmetic"],
    ["index out of bounds", "sv_bounds"],
    ["indirect call to null", "sv_indirect_call"],
    ["indirect call signature mismatch", "sv_indirect_call"],
    ["unaligned memory access", "sv_misaligned"],
    // JavaScriptCore, which adds the page's source
    ["Unreachable code should not be executed (evaluating 'run(secret)')", "re_unreachable"],
    ["Out of bounds memory access (evaluating 'run()')", "sv_memory_bounds"],
    ["Out of bounds table access (evaluating 'run()')", "sv_table_bounds"],
    ["call_indirect to a signature that does not match (evaluating 'run()')", "sv_indirect_call"],
    // no engine
    ["Aborted(native code called abort())", "ie_missing_evidence"],
    ["", "ie_missing_evidence"],
    ["memory access out of bounds!", "ie_missing_evidence"],
  ])("%s: %s", (message, cause) => expect(trap(message)).toBe(cause));

  it("are recorded without the page's source", () => {
    const failure = failedCall(new WebAssembly.RuntimeError("Unreachable code should not be executed (evaluating 'run(1)')"), false);
    expect(failure.message).toBe("Unreachable code should not be executed");
  });
});

describe("compilations", () => {
  it.each([
    ["WebAssembly.compile(): Wasm code generation disallowed by embedder", "sv_content_security_policy"],
    ["call to WebAssembly.compile() blocked by CSP", "sv_content_security_policy"],
    ["WebAssembly.compile(): expected magic word 00 61 73 6d", "ie_compile"],
  ])("%s: %s", (message, cause) =>
    expect(failedCompilation(new WebAssembly.CompileError(message), false).verdict.cause).toBe(cause));

  it("without memory", () => {
    const failure = failedCompilation(new RangeError("Out of memory: wasm code"), false);
    expect(failure.verdict).toMatchObject({ status: "MLE", cause: "mle_allocation", limit: "memory" });
  });
});

it("an error that resists", () => {
  const resists = new Proxy(new Error("secret"), {
    get: () => {
      throw new Error("no");
    },
  });
  expect(() => failedCall(resists, false)).toThrow(); // whoever calls it guards it
});
