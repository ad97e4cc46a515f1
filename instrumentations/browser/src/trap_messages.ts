/** The verdict on each trap of the engines, by its message: a message that no engine has is no evidence. */

import type { Cause } from "./contract.js";
import { type Limit, type Verdict, verdict } from "./verdict.js";

/** What V8, SpiderMonkey and JavaScriptCore say, by cause. */
const MESSAGES: Partial<Record<Cause, readonly string[]>> = {
  re_unreachable: ["unreachable", "unreachable executed", "Unreachable code should not be executed"],
  re_arithmetic: [
    ...["divide by zero", "remainder by zero", "divide result unrepresentable"],
    "float unrepresentable in integer range",
    ...["integer divide by zero", "integer overflow", "invalid conversion to integer"],
    ...["Division by zero", "Integer overflow", "Out of bounds Trunc operation"],
  ],
  re_reference: [
    ...["dereferencing a null pointer", "illegal cast", "array element access out of bounds", "rethrowing null value"],
    ...["dereferencing null pointer", "bad cast"],
    ...["access to a null reference", "ref.cast failed to cast reference to target heap type"],
    ...["Out of bounds array.get", "Out of bounds array.set", "array.get to a null reference"],
    ...["array.set to a null reference", "struct.get to a null reference", "struct.set to a null reference"],
  ],
  re_stack_switching: ["resuming an invalid continuation"],
  re_async: ["atomic wait on non-shared memory", "Atomics.wait cannot be called in this context"],
  sv_memory_bounds: [
    ...["memory access out of bounds", "data segment out of bounds", "string offset out of bounds"],
    ...["Out of bounds memory access", "Out of bounds data segment access"],
  ],
  sv_table_bounds: [
    ...["table index is out of bounds", "table access out of bounds", "element segment out of bounds"],
    ...["table index out of bounds", "Out of bounds table access", "Out of bounds call_indirect"],
  ],
  sv_bounds: ["index out of bounds"],
  sv_indirect_call: [
    ...["null function or function signature mismatch", "null function", "function signature mismatch"],
    ...["indirect call to null", "indirect call signature mismatch"],
    ...["call_indirect to a null table entry", "call_indirect to a signature that does not match"],
  ],
  sv_misaligned: [
    ...["operation does not support unaligned accesses", "unaligned memory access", "Unaligned memory access"],
  ],
  mle_allocation: ["requested new array is too large", "too many array elements"],
};

const LIMITS: Partial<Record<Cause, Limit>> = { mle_allocation: "memory" };

const BY_MESSAGE = new Map<string, Verdict>(
  (Object.entries(MESSAGES) as [Cause, readonly string[]][]).flatMap(([cause, messages]) =>
    messages.map((message): [string, Verdict] => [message, verdict(cause, LIMITS[cause])]),
  ),
);

/** JavaScriptCore adds the source of the call, which is the page's. */
const EVALUATED = / \(evaluating '.*'\)$/s;

/** What an engine says when the stack is exhausted. */
const STACK = /^(?:Maximum call stack size exceeded\.?|too much recursion|Stack overflow)$/;

/** The message of a trap as its engine has it, and the verdict on it; undefined if no engine has it. */
export function trapOf(message: string): { message: string; verdict: Verdict } | undefined {
  const plain = message.replace(EVALUATED, "");
  const found = BY_MESSAGE.get(plain);
  return found && { message: plain, verdict: found };
}

/** Return whether it is the message of an exhausted stack. */
export function isStackMessage(message: string): boolean {
  return STACK.test(message.replace(EVALUATED, ""));
}
