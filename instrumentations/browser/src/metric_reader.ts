/** Exports metrics at an interval, and at once when the page goes away: also while an answer is awaited. */

import { context } from "@opentelemetry/api";
import { suppressTracing } from "@opentelemetry/core";
import { MetricReader, type PushMetricExporter } from "@opentelemetry/sdk-metrics";

export class PageMetricReader extends MetricReader {
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly exporter: PushMetricExporter,
    private readonly interval: number,
  ) {
    super({ aggregationTemporalitySelector: (kind) => exporter.selectAggregationTemporality!(kind) });
  }

  /** Export the current state; what is not delivered is in the next export, as values are cumulative. */
  async send(): Promise<void> {
    const { resourceMetrics } = await this.collect();
    if (resourceMetrics.scopeMetrics.length === 0) return;
    await new Promise<void>((resolve) => {
      context.with(suppressTracing(context.active()), () => this.exporter.export(resourceMetrics, () => resolve()));
    });
  }

  protected override onInitialized(): void {
    this.timer = setInterval(() => void this.send().catch(() => undefined), this.interval);
  }

  protected override onForceFlush(): Promise<void> {
    return this.send();
  }

  protected override async onShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.send();
    await this.exporter.shutdown();
  }
}
