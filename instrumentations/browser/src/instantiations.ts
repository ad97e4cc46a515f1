/** `WebAssembly.instantiate`, `instantiateStreaming` and `new Instance`. */

import type { Context } from "@opentelemetry/api";
import { clock } from "./clock.js";
import { compilation, compiled, moduleAttributes, notCompiled } from "./compilations.js";
import { failedInstantiation, isCompilationFailure } from "./evidence.js";
import type { Execution, Site } from "./execution.js";
import { exportsOf } from "./exports.js";
import { guarded } from "./guard.js";
import { Imports } from "./imports.js";
import type { LivingInstances } from "./living_instances.js";
import { type ModuleInfo, described, infoOf, remember } from "./modules.js";
import type { Patches } from "./patches.js";
import type { Recorder } from "./recorder.js";
import { settled } from "./settled.js";

const { Instance, Module } = WebAssembly;

/** An instantiation that the page has asked for. */
interface Asked {
  readonly api: string;
  readonly streaming: boolean;
  readonly imports: Imports;
  /** A module is given, not the bytes of one. */
  readonly given: boolean;
  readonly info: { readonly now: ModuleInfo };
  readonly start: number;
  readonly parent: Context | undefined;
}

export class Instantiations {
  constructor(
    private readonly recorder: Recorder,
    private readonly living: LivingInstances,
  ) {}

  /** Patch what makes instances. */
  patch(patches: Patches): void {
    for (const [api, streaming] of [["instantiate", false], ["instantiateStreaming", true]] as const) {
      patches.replace(WebAssembly, api, {
        apply: (target, receiver, args: unknown[]) => {
          const asked = this.ask(api, streaming, args);
          const promise = Reflect.apply(target, receiver, args) as Promise<unknown>;
          if (!asked) return promise;
          return settled(promise, (made) => this.ended(asked, made), (error) => this.failed(asked, error));
        },
      });
    }
    patches.replaceConstructor(WebAssembly, "Instance", (make, args) => this.newInstance(make, args));
  }

  /** What the page asks for; its imports are replaced by those that the engine gets. */
  private ask(api: string, streaming: boolean, args: unknown[]): Asked | undefined {
    return guarded("instantiate", () => {
      const [source] = args;
      const given = source instanceof Module;
      const info = given ? { now: infoOf(source) } : described(source, streaming);
      const imports = new Imports(args[1]);
      const asked = { api, streaming, imports, given, info, start: clock(), parent: this.recorder.page.current() };
      if (args.length > 1) args[1] = imports.given;
      return asked;
    });
  }

  private newInstance(make: () => object, args: unknown[]): object {
    const asked = this.ask("Instance", false, args);
    const execution = asked && guarded("instantiate", () => this.recorder.begin(site(asked)));
    let instance: object;
    try {
      instance = make();
    } catch (error) {
      if (execution) guarded("instantiate", () => this.notMade(execution, error));
      throw error;
    }
    if (asked && execution) guarded("instantiate", () => this.made(asked, execution, instance));
    return instance;
  }

  private ended(asked: Asked, result: unknown): void {
    const both = result instanceof Instance ? undefined : (result as WebAssembly.WebAssemblyInstantiatedSource);
    const instance = both ? both.instance : (result as WebAssembly.Instance);
    if (both) remember(both.module, asked.info.now);
    const { readAt } = asked.imports;
    if (both && readAt !== undefined) compiled(this.recorder, this.begin(compilation(asked.api, asked.info.now), asked), readAt);
    const start = both ? (readAt ?? asked.start) : asked.start;
    const execution = this.begin(site(asked), { ...asked, start });
    if (both && readAt === undefined) execution.add({ "wasm.compilation.included": true });
    this.made(asked, execution, instance);
  }

  private failed(asked: Asked, error: unknown): void {
    const { api, given, streaming, info, imports } = asked;
    const { readAt } = imports;
    if (!given && readAt === undefined && isCompilationFailure(error, streaming)) {
      notCompiled(this.recorder, this.begin(compilation(api, info.now), asked), error, streaming);
      return;
    }
    if (!given && readAt !== undefined) compiled(this.recorder, this.begin(compilation(api, info.now), asked), readAt);
    this.notMade(this.begin(site(asked), { ...asked, start: readAt ?? asked.start }), error);
  }

  private begin(of: Site, { start, parent }: Asked): Execution {
    return this.recorder.begin(of, start, parent);
  }

  private made({ imports, info }: Asked, execution: Execution, instance: object): void {
    remember(instance, info.now);
    execution.finish();
    if (!execution.added?.["wasm.compilation.included"]) {
      this.recorder.instruments.record("wasm.instance.creation.duration", execution.duration, {}, execution.inside);
    }
    this.living.add(instance, exportsOf(instance), imports.memories);
  }

  private notMade(execution: Execution, error: unknown): void {
    const end = clock();
    execution.failure = failedInstantiation(error);
    this.recorder.failed(execution, error);
    execution.finish(execution.failure, end);
  }
}

function site({ api, info }: Asked): Site {
  return { operation: "instantiate", name: "wasm instantiate", attributes: moduleAttributes(api, info.now) };
}
