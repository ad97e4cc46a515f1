/** Web Vitals: how the user experiences the page. */

import { type Metric, onCLS, onFCP, onINP, onLCP, onTTFB } from "web-vitals";
import { SeverityNumber } from "@opentelemetry/api";
import { guarded } from "./guard.js";
import type { Recorder } from "./recorder.js";

const INFO: [SeverityNumber, string] = [SeverityNumber.INFO, "INFO"];

/** Measure LCP, INP, CLS, FCP and TTFB; each is recorded once, when it is final. */
export function measureWebVitals(recorder: Recorder, stopped: () => boolean): void {
  if (typeof document === "undefined") return;
  const record = (metric: Metric): void => {
    if (!stopped()) guarded("web_vitals", () => recordVital(recorder, metric));
  };
  for (const measure of [onCLS, onFCP, onINP, onLCP, onTTFB]) guarded("web_vitals", () => measure(record));
}

function recordVital(recorder: Recorder, { name, value, rating }: Metric): void {
  const labels = { "browser.web_vital.name": name, "browser.web_vital.rating": rating };
  const shown = name === "CLS" ? value : value / 1000;
  recorder.instruments.record(name === "CLS" ? "browser.web_vital.shift" : "browser.web_vital.duration", shown, labels);
  recorder.log("browser.web_vital", `${name}: ${rating}`, INFO, { ...labels, "browser.web_vital.value": shown }, recorder.page.context);
}
