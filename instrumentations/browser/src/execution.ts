/** One run of code: what ran, when, and how it ended. */

import type { Context, Span } from "@opentelemetry/api";
import { clock } from "./clock.js";
import type { Failure } from "./evidence.js";
import type { Values } from "./instruments.js";
import type { Recorder } from "./recorder.js";
import { OK, type Verdict } from "./verdict.js";

export type Operation = "compile" | "instantiate" | "call" | "load" | "inference";

/** What is known before it starts. */
export interface Site {
  readonly operation: Operation;
  /** The span's name. */
  readonly name: string;
  readonly attributes: Values;
}

export class Execution {
  verdict: Verdict | undefined;
  failure: Failure | undefined;
  added: Values | undefined;
  end = 0;
  span: Span | undefined;
  inside: Context | undefined;

  constructor(
    private readonly recorder: Recorder,
    readonly site: Site,
    readonly parent: Context,
    readonly start = clock(),
  ) {}

  /** The time from its start to its end, in seconds. */
  get duration(): number {
    return Math.max(0, this.end - this.start) / 1000;
  }

  /** Add attributes to the span and the log record. */
  add(values: Values): void {
    this.added = this.added ? { ...this.added, ...values } : values;
  }

  /** It ended by itself, or with a failure; only the first end counts. */
  finish(failure?: Failure, end = clock()): void {
    if (this.verdict) return;
    this.end = end;
    this.failure = failure;
    this.verdict = failure ? failure.verdict : OK;
    if (failure?.exitCode !== undefined) this.add({ "wasm.exit_code": failure.exitCode });
    this.recorder.ended(this);
  }
}
