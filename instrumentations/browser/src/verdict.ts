/** How an execution ended, who ended it, and the evidence: the same words as for every other runtime. */

import { CAUSES, type Cause } from "./contract.js";

export type Status = (typeof CAUSES)[Cause]["status"];
export type Actor = (typeof CAUSES)[Cause]["actor"];
export type Limit = "memory" | "stack";

export interface Verdict {
  readonly status: Status;
  readonly actor: Actor;
  readonly cause: Cause;
  readonly limit?: Limit;
}

/** Return the verdict with a cause, as `telemetry.yaml` declares it. */
export function verdict(cause: Cause, limit?: Limit): Verdict {
  return limit === undefined ? { ...CAUSES[cause], cause } : { ...CAUSES[cause], cause, limit };
}

export const OK = verdict("normal_exit");
export const MISSING_EVIDENCE = verdict("ie_missing_evidence");
