/**
 * Exported functions whose calls are recorded: proxies, which the page sees in place of the functions.
 *
 * Tables, globals, imports and `WebAssembly.promising` take only the functions themselves. Wherever a proxy may enter
 * WebAssembly it is therefore replaced by its function, and the other way round where a function may leave.
 */

import { clock } from "./clock.js";
import { failedCall } from "./evidence.js";
import type { Execution, Site } from "./execution.js";
import { guarded, reportError } from "./guard.js";
import type { Recorder } from "./recorder.js";

// biome-ignore lint: any function can be exported
type Callable = (...args: any[]) => any;

const proxies = new WeakMap<Callable, Callable>();
const originals = new WeakMap<Callable, Callable>();

/** Return the function of a proxy, and any other value as it is. */
export function original<T>(value: T): T {
  return typeof value === "function" ? ((originals.get(value as Callable) as T | undefined) ?? value) : value;
}

/** Return the proxy of a function that has one, and any other value as it is. */
export function visible<T>(value: T): T {
  return typeof value === "function" ? ((proxies.get(value as Callable) as T | undefined) ?? value) : value;
}

/** Return the proxy of an exported function, which records its calls. */
export function recorded(exported: Callable, site: Site, recorder: Recorder, ended: (execution: Execution) => void): Callable {
  const known = proxies.get(exported);
  if (known) return known;
  const proxy = new Proxy(exported, {
    apply: (target, receiver, args: unknown[]) => {
      for (let index = 0; index < args.length; index++) args[index] = original(args[index]);
      const execution = guarded("call", () => recorder.begin(site));
      return execution ? call(target, receiver, args, execution, recorder, ended) : results(Reflect.apply(target, receiver, args));
    },
  });
  proxies.set(exported, proxy);
  originals.set(proxy, exported);
  return proxy;
}

function call(
  target: Callable,
  receiver: unknown,
  args: unknown[],
  execution: Execution,
  recorder: Recorder,
  ended: (execution: Execution) => void,
): unknown {
  recorder.depth++;
  try {
    const result: unknown = execution.inside
      ? recorder.page.run(execution.inside, () => Reflect.apply(target, receiver, args) as unknown)
      : Reflect.apply(target, receiver, args);
    const end = clock();
    recorder.depth--;
    finish(execution, end, ended);
    return results(result);
  } catch (error) {
    const end = clock();
    recorder.depth--;
    fail(execution, error, end, recorder, ended);
    throw error;
  }
}

function finish(execution: Execution, end: number, ended: (execution: Execution) => void): void {
  try {
    ended(execution);
    execution.finish(undefined, end);
  } catch (error) {
    reportError("call", error);
  }
}

function fail(
  execution: Execution,
  error: unknown,
  end: number,
  recorder: Recorder,
  ended: (execution: Execution) => void,
): void {
  guarded("call", () => {
    const failure = failedCall(error, recorder.depth > 0);
    execution.failure = failure;
    ended(execution);
    recorder.failed(execution, error);
    execution.finish(failure, end);
  });
}

/** What a call returns: several results are an array that the engine has just made. */
function results(value: unknown): unknown {
  if (!Array.isArray(value)) return visible(value);
  for (let index = 0; index < value.length; index++) value[index] = visible(value[index] as unknown);
  return value;
}
