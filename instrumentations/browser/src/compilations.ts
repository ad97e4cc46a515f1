/** `WebAssembly.compile`, `compileStreaming` and `new Module`. */

import { clock } from "./clock.js";
import { failedCompilation } from "./evidence.js";
import type { Execution, Site } from "./execution.js";
import { guarded } from "./guard.js";
import type { Values } from "./instruments.js";
import { type ModuleInfo, described, remember } from "./modules.js";
import type { Patches } from "./patches.js";
import type { Recorder } from "./recorder.js";
import { settled } from "./settled.js";

/** Return the site of a compilation. */
export function compilation(api: string, info: ModuleInfo): Site {
  return { operation: "compile", name: "wasm compile", attributes: moduleAttributes(api, info) };
}

/** Return the attributes of a compilation or instantiation. */
export function moduleAttributes(api: string, { name, size }: ModuleInfo): Values {
  return { "wasm.api": api, ...(name && { "wasm.module": name }), ...(size !== undefined && { "wasm.module.size": size }) };
}

/** A compilation has ended. */
export function compiled(recorder: Recorder, execution: Execution, end?: number): void {
  execution.finish(undefined, end);
  recorder.instruments.record("wasm.compilation.duration", execution.duration, {}, execution.inside);
}

/** A compilation has failed. */
export function notCompiled(recorder: Recorder, execution: Execution, error: unknown, streaming: boolean): void {
  const end = clock();
  execution.failure = failedCompilation(error, streaming);
  recorder.failed(execution, error);
  execution.finish(execution.failure, end);
}

/** Patch what compiles modules. */
export function patchCompilations(patches: Patches, recorder: Recorder): void {
  for (const [name, streaming] of [["compile", false], ["compileStreaming", true]] as const) {
    patches.replace(WebAssembly, name, {
      apply: (target, receiver, args: unknown[]) => {
        const info = described(args[0], streaming);
        const execution = guarded("compile", () => recorder.begin(compilation(name, info.now)));
        return settled(
          Reflect.apply(target, receiver, args) as Promise<WebAssembly.Module>,
          (module) => {
            remember(module, info.now);
            if (execution) compiled(recorder, named(execution, info.now));
          },
          (error) => execution && notCompiled(recorder, named(execution, info.now), error, streaming),
        );
      },
    });
  }
  patches.replaceConstructor(WebAssembly, "Module", (make, args) => newModule(recorder, args[0], make));
}

function newModule(recorder: Recorder, source: unknown, make: () => object): object {
  const info = described(source, false).now;
  const execution = guarded("compile", () => recorder.begin(compilation("Module", info)));
  let module: object;
  try {
    module = make();
  } catch (error) {
    if (execution) guarded("compile", () => notCompiled(recorder, execution, error, false));
    throw error;
  }
  guarded("compile", () => {
    remember(module, info);
    if (execution) compiled(recorder, execution);
  });
  return module;
}

/** A response that was a promise has told its address only now. */
function named(execution: Execution, { name }: ModuleInfo): Execution {
  if (name) execution.add({ "wasm.module": name });
  return execution;
}
