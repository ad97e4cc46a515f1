/** The time of telemetry: it never goes back, whatever happens to the machine's clock. */

const performance = globalThis.performance;
const now = performance.now.bind(performance);

/** The milliseconds since 1970, at the resolution that the browser gives to the page. */
export function clock(): number {
  return performance.timeOrigin + now();
}
