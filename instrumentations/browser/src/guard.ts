/** Telemetry never raises into the page: its own errors are counted in `sandscope.errors`, and logged once. */

const counts = new Map<string, number>();

/** Count an error of the instrumentation; the first of a component is written to the console. */
export function reportError(component: string, error: unknown): void {
  const seen = counts.get(component) ?? 0;
  counts.set(component, seen + 1);
  if (seen === 0) {
    console.warn(`sandscope: ${component} failed; the page is not affected, its telemetry may be incomplete.`, error);
  }
}

/** Run a part of the instrumentation; on an error, return undefined. */
export function guarded<T>(component: string, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    reportError(component, error);
    return undefined;
  }
}

/** The number of errors so far, by component. */
export function errorCounts(): ReadonlyMap<string, number> {
  return counts;
}
