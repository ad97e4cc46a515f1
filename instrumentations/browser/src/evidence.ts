/** The verdict on what a call, a compilation or an instantiation has thrown: by its class, then by its message. */

import { isStackMessage, trapOf } from "./trap_messages.js";
import { MISSING_EVIDENCE, OK, type Verdict, verdict } from "./verdict.js";

/** An error as telemetry sees it. */
export interface Failure {
  readonly verdict: Verdict;
  /** The class of the error. */
  readonly type: string;
  /** What an engine says by itself: the page's own messages may have user data. */
  readonly message?: string;
  /** What the error says itself: recorded only if the page allows it. */
  readonly original?: string;
  readonly exitCode?: number;
}

const { CompileError, LinkError, RuntimeError } = WebAssembly;
const WasmException = (WebAssembly as unknown as { Exception?: new () => object }).Exception;
const LONGEST = 128;
const LONGEST_MESSAGE = 1024;

const POLICY = /Content Security Policy|disallowed by embedder|blocked by CSP/i;
const MEMORY = /out of memory|could not allocate|failed to allocate/i;
const IMPORTS = /\bimport(?:s|ed)?\b/i;
/** A frame of a stack, as V8 or the others write it. */
const FRAME = /^\s*at |@/;
const GUEST_FRAME = /wasm-function\[|\[wasm code\]/;

/** Return what ended a call of an exported function. */
export function failedCall(error: unknown, nested: boolean): Failure {
  return withOriginal(error, callFailure(error, nested));
}

/** Return what ended a compilation. */
export function failedCompilation(error: unknown, streaming: boolean): Failure {
  return withOriginal(error, compilationFailure(error, streaming));
}

/** Return whether an instantiation from bytes, whose imports were not read, has failed before it had a module. */
export function isCompilationFailure(error: unknown, streaming: boolean): boolean {
  if (error instanceof CompileError) return true;
  if (error instanceof TypeError) return !IMPORTS.test(messageOf(error));
  return streaming && !(error instanceof LinkError || error instanceof RuntimeError || error instanceof RangeError);
}

/** Return what ended an instantiation whose module was valid. */
export function failedInstantiation(error: unknown): Failure {
  return withOriginal(error, instantiationFailure(error));
}

function withOriginal(error: unknown, failure: Failure): Failure {
  return error instanceof Error ? { ...failure, original: messageOf(error).slice(0, LONGEST_MESSAGE) } : failure;
}

function callFailure(error: unknown, nested: boolean): Failure {
  const type = typeOf(error);
  const exitCode = exitCodeOf(error);
  if (exitCode !== undefined) return { verdict: exitCode === 0 ? OK : verdict("re_exit_code"), type, exitCode };
  if (!(error instanceof Error)) return thrown(error, type);
  const message = messageOf(error);
  if (error instanceof RuntimeError) {
    const trap = trapOf(message);
    return trap ? { ...trap, type } : { verdict: MISSING_EVIDENCE, type };
  }
  if (isStackMessage(message)) return { verdict: exhausted(error, nested), type, message };
  return { verdict: verdict("ie_host_error"), type };
}

function compilationFailure(error: unknown, streaming: boolean): Failure {
  const type = typeOf(error);
  if (error instanceof CompileError) {
    const policy = POLICY.test(messageOf(error));
    return { verdict: verdict(policy ? "sv_content_security_policy" : "ie_compile"), type };
  }
  if (error instanceof RangeError) return { verdict: allocation(error), type };
  return { verdict: verdict(streaming ? "ie_download" : "ie_invalid_call"), type };
}

function instantiationFailure(error: unknown): Failure {
  const type = typeOf(error);
  if (error instanceof LinkError) return { verdict: verdict("ie_link"), type };
  if (error instanceof RangeError && MEMORY.test(messageOf(error))) return { verdict: allocation(error), type };
  if (error instanceof TypeError && IMPORTS.test(messageOf(error))) return { verdict: verdict("ie_link"), type };
  return callFailure(error, false);
}

/** The class of what was thrown. */
export function typeOf(error: unknown): string {
  if (error === null || (typeof error !== "object" && typeof error !== "function")) return typeof error;
  for (const known of [CompileError, LinkError, RuntimeError]) {
    if (error instanceof known) return `WebAssembly.${known.name}`;
  }
  if (WasmException && error instanceof WasmException) return "WebAssembly.Exception";
  const name: unknown = (error as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name ? name.slice(0, LONGEST) : "object";
}

function thrown(error: unknown, type: string): Failure {
  const guest = WasmException !== undefined && error instanceof WasmException;
  return { verdict: verdict(guest ? "re_exception" : "ie_host_error"), type };
}

/** Frames of the page and of the guest are on one stack: only if the last one is the guest's, it is the guest's fault. */
function exhausted(error: Error, nested: boolean): Verdict {
  // Where the page prepares stacks itself, reading one would run its code.
  const readable = (Error as { prepareStackTrace?: unknown }).prepareStackTrace === undefined;
  const last = nested || !readable ? undefined : String(error.stack).split("\n").find((line) => FRAME.test(line));
  if (last === undefined) return verdict("ie_shared_stack");
  return GUEST_FRAME.test(last) ? verdict("mle_stack", "stack") : verdict("ie_host_error");
}

function allocation(error: Error): Verdict {
  return MEMORY.test(messageOf(error)) ? verdict("mle_allocation", "memory") : MISSING_EVIDENCE;
}

/** The code of an exit, which Emscripten's runtime throws as an `ExitStatus`. */
function exitCodeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || ownValue(error, "name") !== "ExitStatus") return undefined;
  const status = ownValue(error, "status");
  return typeof status === "number" && Number.isInteger(status) ? status : undefined;
}

function messageOf(error: Error): string {
  const message = ownValue(error, "message");
  return typeof message === "string" ? message : "";
}

/** The value of a property of its own, without running a getter. */
function ownValue(owner: object, key: string): unknown {
  return Object.getOwnPropertyDescriptor(owner, key)?.value;
}
