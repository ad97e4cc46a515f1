/** Observes WebAssembly, models, Web Vitals and errors in a browser. */

import { Instantiations } from "./instantiations.js";
import { patchCompilations } from "./compilations.js";
import { patchExports } from "./exports.js";
import { guarded, reportError } from "./guard.js";
import { Instruments } from "./instruments.js";
import { whenLeaving } from "./leaving.js";
import { LivingInstances } from "./living_instances.js";
import { track } from "./models.js";
import type { Outcome } from "./outbox.js";
import { recordPageErrors } from "./page_errors.js";
import { measurePageMemory } from "./page_memory.js";
import { PageTrace } from "./page_trace.js";
import { Patches } from "./patches.js";
import { Providers, SCOPE } from "./providers.js";
import { Recorder } from "./recorder.js";
import { patchReferences } from "./references.js";
import { type Chosen, type Settings, choose } from "./settings.js";
import type { Tracked } from "./tracked.js";
import { measureWebVitals } from "./web_vitals.js";

export type { Settings, Tracked };

interface Running {
  readonly recorder: Recorder;
  readonly providers: Providers;
  stop(): Promise<void>;
}

let running: Running | undefined;

/**
 * Start to observe the page. Call it before the page compiles its first module; a second call has no effect.
 *
 * @throws TypeError if a setting is not valid. Nothing else is raised into the page.
 */
export function start(settings: Settings): void {
  const chosen = choose(settings);
  if (running) return;
  running = guarded("start", () => run(chosen));
}

/** Restore everything that was patched, send what is left, and stop. */
export async function stop(): Promise<void> {
  const stopped = running;
  running = undefined;
  await stopped?.stop().catch((error: unknown) => reportError("stop", error));
}

/** Send what is waiting, and wait for the answers. */
export async function flush(): Promise<void> {
  await running?.providers.flush().catch((error: unknown) => reportError("flush", error));
}

/** A model begins to load; call `end()` or `fail(error)` of what is returned. */
export function trackModelLoad(modelName: string): Tracked {
  return track(running?.recorder, "load", modelName);
}

/** An inference begins; call `end()` or `fail(error)` of what is returned. */
export function trackInference(modelName: string, inputSize?: number): Tracked {
  return track(running?.recorder, "inference", modelName, inputSize);
}

function run(settings: Chosen): Running {
  let instruments: Instruments | undefined;
  const counted = (signal: "span" | "log", number: number, outcome: Outcome): void => {
    if (number > 0) instruments?.add("sandscope.recorder.records", number, { "sandscope.signal": signal, "sandscope.outcome": outcome });
  };
  const providers = new Providers(settings, counted);
  instruments = new Instruments(providers.meters.getMeter(SCOPE.name, SCOPE.version));
  const tracer = providers.tracers.getTracer(SCOPE.name, SCOPE.version);
  const logger = providers.loggers.getLogger(SCOPE.name, SCOPE.version);
  const page = new PageTrace(tracer, settings.traceparent, settings.page);
  const recorder = new Recorder(tracer, logger, instruments, page, settings);
  const undo = observe(settings, recorder, providers);
  return {
    recorder,
    providers,
    stop: async () => {
      undo();
      page.end();
      await providers.shutdown();
    },
  };
}

/** Begin with all parts of the instrumentation. Return what ends them. */
function observe(settings: Chosen, recorder: Recorder, providers: Providers): () => void {
  const living = new LivingInstances(recorder.instruments);
  const patches = new Patches();
  measurePageMemory(recorder.instruments);
  patchCompilations(patches, recorder);
  new Instantiations(recorder, living).patch(patches);
  patchExports(patches, recorder, living, settings.functions);
  if (settings.functions !== "none") patchReferences(patches);
  let stopped = false;
  // Its listeners come first: it has the final values when the page goes away.
  if (settings.webVitals) measureWebVitals(recorder, () => stopped);
  const ends = [
    () => patches.undo(),
    settings.errors ? recordPageErrors(recorder, settings.messages) : () => undefined,
    whenLoaded(() => recorder.page.end()),
    whenLeaving((last) => {
      if (last) recorder.page.end();
      providers.leave(last);
    }),
    () => void (stopped = true),
  ];
  return () => ends.forEach((end) => guarded("stop", end));
}

function whenLoaded(loaded: () => void): () => void {
  if (typeof document === "undefined" || document.readyState === "complete") {
    loaded();
    return () => undefined;
  }
  addEventListener("load", loaded, { once: true });
  return () => removeEventListener("load", loaded);
}
