/** The SDK of OpenTelemetry: its providers, with OTLP over HTTP as the only way out. */

import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { JsonLogsSerializer, JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, type ReadableLogRecord } from "@opentelemetry/sdk-logs";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { type ReadableSpan, TracerProvider } from "@opentelemetry/sdk-trace";
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from "@opentelemetry/semantic-conventions";
import { ATTR_SERVICE_INSTANCE_ID } from "@opentelemetry/semantic-conventions/incubating";
import { PageMetricReader } from "./metric_reader.js";
import { Outbox, type Outcome } from "./outbox.js";
import type { Chosen } from "./settings.js";

export const SCOPE = { name: "@sandscope/instrumentation-browser", version: "0.1.0" };

/** How many records have had an outcome, by signal. */
export type Counted = (signal: "span" | "log", number: number, outcome: Outcome) => void;

export class Providers {
  readonly tracers: TracerProvider;
  readonly loggers: LoggerProvider;
  readonly meters: MeterProvider;
  private readonly reader: PageMetricReader;
  private readonly spans: Outbox<ReadableSpan>;
  private readonly records: Outbox<ReadableLogRecord>;

  constructor(settings: Chosen, counted: Counted) {
    const resource = describe(settings);
    const to = (signal: string): { url: string } => ({ url: `${settings.endpoint.replace(/\/$/, "")}/v1/${signal}` });
    this.spans = new Outbox(
      new OTLPTraceExporter(to("traces")),
      (batch) => JsonTraceSerializer.serializeRequest(batch)?.byteLength ?? 0,
      (number, outcome) => counted("span", number, outcome),
    );
    this.records = new Outbox(
      new OTLPLogExporter(to("logs")),
      (batch) => JsonLogsSerializer.serializeRequest(batch)?.byteLength ?? 0,
      (number, outcome) => counted("log", number, outcome),
    );
    this.tracers = new TracerProvider({ resource, spanProcessors: [spanProcessor(this.spans)] });
    this.loggers = new LoggerProvider({ resource, processors: [logProcessor(this.records)] });
    this.reader = new PageMetricReader(new OTLPMetricExporter(to("metrics")), settings.interval);
    this.meters = new MeterProvider({ resource, readers: [this.reader] });
  }

  /** Export everything, and wait for the answers. */
  async flush(): Promise<void> {
    await Promise.all([this.spans.flush(), this.records.flush()]);
    await this.reader.send();
  }

  /** Export what can be sent while the page goes away; the metrics last, as they count the rest. */
  leave(last: boolean): void {
    this.spans.leave(last);
    this.records.leave(last);
    void this.reader.send().catch(() => undefined);
  }

  /** Export everything and stop. */
  async shutdown(): Promise<void> {
    await this.flush().catch(() => undefined);
    await Promise.allSettled([this.tracers.shutdown(), this.loggers.shutdown(), this.meters.shutdown()]);
  }
}

function describe({ service, version }: Chosen): Resource {
  return resourceFromAttributes({
    [ATTR_SERVICE_NAME]: service,
    ...(version && { [ATTR_SERVICE_VERSION]: version }),
    [ATTR_SERVICE_INSTANCE_ID]: instanceId(),
    "telemetry.sdk.language": "webjs",
    "telemetry.sdk.name": "opentelemetry",
  });
}

/** A random number of this page load, which tells nothing about the user. */
function instanceId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function spanProcessor(outbox: Outbox<ReadableSpan>) {
  return {
    onStart: () => undefined,
    onEnd: (span: ReadableSpan) => {
      if (span.spanContext().traceFlags & 1) outbox.add(span);
    },
    forceFlush: () => outbox.flush(),
    shutdown: () => outbox.flush(),
  };
}

function logProcessor(outbox: Outbox<ReadableLogRecord>) {
  return {
    onEmit: (record: ReadableLogRecord) => outbox.add(record),
    forceFlush: () => outbox.flush(),
    shutdown: () => outbox.flush(),
  };
}
