/** The SDK with exporters in memory, and the guests, for the tests. */

import { readFileSync } from "node:fs";
import { LoggerProvider, InMemoryLogRecordExporter, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { context } from "@opentelemetry/api";
import { patchCompilations } from "../src/compilations.js";
import { patchExports } from "../src/exports.js";
import { Instantiations } from "../src/instantiations.js";
import { Instruments } from "../src/instruments.js";
import { LivingInstances } from "../src/living_instances.js";
import { PageTrace } from "../src/page_trace.js";
import { Patches } from "../src/patches.js";
import { Recorder } from "../src/recorder.js";
import { patchReferences } from "../src/references.js";
import type { Chosen } from "../src/settings.js";

export function guest(name: "guest" | "lonely" | "trapping" = "guest"): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`${name}.wasm`, import.meta.url)));
}

export const TRACEPARENT = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;

/** A patched page. */
export class Page {
  readonly spanExporter = new InMemorySpanExporter();
  readonly logExporter = new InMemoryLogRecordExporter();
  readonly recorder: Recorder;
  private readonly patches = new Patches();
  private readonly metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  private readonly meters: MeterProvider;

  constructor(settings: Partial<Pick<Chosen, "functions" | "spans" | "messages">> = {}) {
    const chosen = { functions: "all", spans: "all", messages: false, ...settings } as const;
    const tracers = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: this.spanExporter })] });
    const loggers = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: this.logExporter })] });
    this.meters = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter: this.metricExporter })] });
    const instruments = new Instruments(this.meters.getMeter("test"));
    const tracer = tracers.getTracer("test");
    const page = new PageTrace(tracer, TRACEPARENT, undefined);
    this.recorder = new Recorder(tracer, loggers.getLogger("test"), instruments, page, chosen);
    const living = new LivingInstances(instruments);
    patchCompilations(this.patches, this.recorder);
    new Instantiations(this.recorder, living).patch(this.patches);
    patchExports(this.patches, this.recorder, living, chosen.functions);
    if (chosen.functions !== "none") patchReferences(this.patches);
  }

  /** The ended spans of a name, or all. */
  spans(name?: string): ReadableSpan[] {
    return this.spanExporter.getFinishedSpans().filter((span) => !name || span.name === name);
  }

  /** The attributes of the only span of a name. */
  attributes(name: string): Record<string, unknown> {
    const [span, ...more] = this.spans(name);
    if (!span || more.length) throw new Error(`${more.length + (span ? 1 : 0)} spans ${name}`);
    return span.attributes;
  }

  /** Status, actor and cause of the only span of a name. */
  verdict(name: string): string {
    const of = this.attributes(name);
    return ["status", "actor", "cause"].map((part) => String(of[`sandbox.verdict.${part}`])).join(" ");
  }

  logs(name: string) {
    return this.logExporter.getFinishedLogRecords().filter((record) => record.eventName === name);
  }

  /** The values of a metric's points, with the attributes that they have. */
  async points(name: string): Promise<{ value: unknown; attributes: Record<string, unknown> }[]> {
    await this.meters.forceFlush();
    const all = this.metricExporter.getMetrics().at(-1)?.scopeMetrics.flatMap((scope) => scope.metrics) ?? [];
    return all.filter((metric) => metric.descriptor.name === name).flatMap((metric) => metric.dataPoints as never[]);
  }

  async leave(): Promise<void> {
    this.patches.undo();
    await this.meters.shutdown();
    context.disable();
  }
}

export type Exports = Record<string, (...args: unknown[]) => unknown> & {
  memory: WebAssembly.Memory;
  table: WebAssembly.Table;
  reference: WebAssembly.Global;
};

export const IMPORTS = { env: { callback: (value: number) => value * 2 } };

export function instance(imports: WebAssembly.Imports = IMPORTS): WebAssembly.Instance {
  return new WebAssembly.Instance(new WebAssembly.Module(guest()), imports);
}

export function exportsOf(made: WebAssembly.Instance): Exports {
  return made.exports as unknown as Exports;
}
