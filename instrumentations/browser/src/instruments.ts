/** The instruments of the declared metrics. */

import type { Attributes, Context, Meter, ObservableResult } from "@opentelemetry/api";
import { METRICS, type AttributeName, type MetricName } from "./contract.js";

export type Values = Partial<Record<AttributeName, string | number | boolean>>;
type Named<Kind extends string> = {
  [Name in MetricName]: (typeof METRICS)[Name]["instrument"] extends Kind ? Name : never;
}[MetricName];

/** Creates each instrument when it is first used. */
export class Instruments {
  private readonly counters = new Map<string, (value: number, attributes?: Attributes) => void>();
  private readonly histograms = new Map<string, (value: number, attributes?: Attributes, context?: Context) => void>();

  constructor(private readonly meter: Meter) {}

  add(name: Named<"counter">, value: number, attributes: Values = {}): void {
    let add = this.counters.get(name);
    if (!add) {
      const counter = this.meter.createCounter(name, describe(name));
      this.counters.set(name, (add = counter.add.bind(counter)));
    }
    add(value, attributes);
  }

  record(name: Named<"histogram">, value: number, attributes: Values = {}, context?: Context): void {
    let record = this.histograms.get(name);
    if (!record) {
      const advice = { explicitBucketBoundaries: [...METRICS[name].boundaries] };
      const histogram = this.meter.createHistogram(name, { ...describe(name), advice });
      this.histograms.set(name, (record = histogram.record.bind(histogram)));
    }
    record(value, attributes, context);
  }

  /** Read a number whenever metrics are exported. */
  observe(name: Named<"updowncounter" | "counter">, read: (result: ObservableResult) => void): void {
    const kind = METRICS[name].instrument;
    const instrument =
      kind === "counter"
        ? this.meter.createObservableCounter(name, describe(name))
        : this.meter.createObservableUpDownCounter(name, describe(name));
    instrument.addCallback(read);
  }
}

function describe(name: MetricName): { unit: string; description: string } {
  const { unit, description } = METRICS[name];
  return { unit, description };
}
