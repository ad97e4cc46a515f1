/** The exports of an instance, as the page sees them: the same object each time, frozen, with the chosen functions recorded. */

import { recorded, visible } from "./exported_functions.js";
import type { Execution, Site } from "./execution.js";
import { guarded } from "./guard.js";
import type { LivingInstances } from "./living_instances.js";
import { infoOf } from "./modules.js";
import type { Patches } from "./patches.js";
import type { Recorder } from "./recorder.js";
import type { Chosen } from "./settings.js";

type Exported = Record<string, unknown>;
const LONGEST = 128;
const nativeExports = Object.getOwnPropertyDescriptor(WebAssembly.Instance.prototype, "exports")?.get;

/** Read the exports of an instance, without recorded functions. */
export function exportsOf(instance: object): Exported {
  return nativeExports ? (Reflect.apply(nativeExports, instance, []) as Exported) : {};
}

/** Patch `Instance.prototype.exports`. */
export function patchExports(
  patches: Patches,
  recorder: Recorder,
  living: LivingInstances,
  functions: Chosen["functions"],
): void {
  if (functions === "none") return;
  const chosen = functions === "all" ? undefined : new Set(functions);
  const views = new WeakMap<object, object>();
  patches.replaceAccessor(WebAssembly.Instance.prototype, "exports", "get", {
    apply: (target, receiver: object, args) => {
      const exports = Reflect.apply(target, receiver, args) as Exported;
      let view = views.get(exports);
      if (!view) {
        view = guarded("exports", () => viewOf(receiver, exports, recorder, living, chosen)) ?? exports;
        views.set(exports, view);
      }
      return view;
    },
  });
}

function viewOf(
  instance: object,
  exports: Exported,
  recorder: Recorder,
  living: LivingInstances,
  chosen: ReadonlySet<string> | undefined,
): object {
  const { name: module } = infoOf(instance);
  const ended = (execution: Execution): void => measure(execution, living.memory(instance), recorder);
  const view = Object.create(null) as Exported;
  for (const [name, value] of Object.entries(exports)) {
    const records = typeof value === "function" && (!chosen || chosen.has(name));
    view[name] = records
      ? recorded(value as (...args: unknown[]) => unknown, siteOf(name, module), recorder, ended)
      : visible(value);
  }
  return Object.freeze(view);
}

function siteOf(name: string, module: string | undefined): Site {
  const called = name.slice(0, LONGEST);
  const attributes = { ...(module && { "wasm.module": module }), "wasm.function": called };
  return { operation: "call", name: `wasm ${called}`, attributes };
}

/** A linear memory never shrinks: what it has when a call ends is its peak. */
function measure(execution: Execution, bytes: number | undefined, recorder: Recorder): void {
  if (bytes === undefined || !execution.span) return;
  execution.add({ "wasm.memory.peak": bytes });
  const status = execution.failure?.verdict.status ?? "OK";
  const labels = { "sandbox.runtime": "browser", "sandbox.operation": "call", "sandbox.verdict.status": status };
  recorder.instruments.record("wasm.memory.peak", bytes, labels, execution.inside);
}
