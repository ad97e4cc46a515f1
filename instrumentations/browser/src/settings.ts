/** What the page may choose. */

export interface Settings {
  /** The address of the Collector's receiver for browsers, such as `https://telemetry.example.com:4319`. */
  endpoint: string;
  /** The value of `service.name`; the Collector may replace it. */
  service?: string;
  /** The value of `service.version`. */
  version?: string;
  /** The name of the page, such as `checkout`: its address, which may have user data, is not recorded. */
  page?: string;
  /** The exported functions whose calls are executions: `"none"` (the default), `"all"`, or their names. */
  functions?: "none" | "all" | readonly string[];
  /** Which calls have a span and a log record; all are counted. */
  spans?: "all" | "outer" | "off";
  /** Record the messages and stacks of errors, which may have user data. */
  messages?: boolean;
  /** Measure Web Vitals. */
  webVitals?: boolean;
  /** Record errors that the page does not handle. */
  errors?: boolean;
  /** The `traceparent` of the server's span; by default that of the page's `<meta name="traceparent">` or Server-Timing. */
  traceparent?: string;
  /** The milliseconds between two exports of metrics. */
  interval?: number;
}

export type Chosen = Required<Omit<Settings, "version" | "page" | "traceparent">> &
  Pick<Settings, "version" | "page" | "traceparent">;

const DEFAULTS = {
  service: "browser",
  functions: "none",
  spans: "all",
  messages: false,
  webVitals: true,
  errors: true,
  interval: 15_000,
} as const;

const KNOWN = new Set(["endpoint", "version", "page", "traceparent", ...Object.keys(DEFAULTS)]);

/**
 * Return the settings with their defaults.
 *
 * @throws TypeError if one is unknown or has no valid value.
 */
export function choose(settings: Settings): Chosen {
  for (const name of Object.keys(settings)) {
    if (!KNOWN.has(name)) fail(name, "there is no such setting", `Use one of ${[...KNOWN].join(", ")}.`);
  }
  const chosen: Chosen = { ...DEFAULTS, ...settings };
  if (typeof chosen.endpoint !== "string" || !isAddress(chosen.endpoint)) {
    fail("endpoint", `${String(chosen.endpoint)} is not an address`, "Set it to the Collector's receiver for browsers.");
  }
  const { functions } = chosen;
  if (functions !== "all" && functions !== "none" && !(Array.isArray(functions) && functions.every(isText))) {
    fail("functions", `${String(functions)} is not valid`, 'Set it to "all", "none" or an array of names.');
  }
  if (!["all", "outer", "off"].includes(chosen.spans)) {
    fail("spans", `${String(chosen.spans)} is not valid`, 'Set it to "all", "outer" or "off".');
  }
  if (!(chosen.interval >= 1000)) {
    fail("interval", `${String(chosen.interval)} is not valid`, "Set it to a number of milliseconds from 1000.");
  }
  return chosen;
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isAddress(value: string): boolean {
  try {
    return /^https?:$/.test(new URL(value, globalThis.location?.href).protocol);
  } catch {
    return false;
  }
}

function fail(name: string, what: string, remedy: string): never {
  throw new TypeError(`Cannot read the setting ${name} of sandscope: ${what}. ${remedy}`);
}
