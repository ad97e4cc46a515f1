/** Loads of models and inferences, which the page reports. */

import { typeOf } from "./evidence.js";
import type { Execution, Operation } from "./execution.js";
import { guarded } from "./guard.js";
import type { Recorder } from "./recorder.js";
import { verdict } from "./verdict.js";

const LONGEST = 128;

/** A load or an inference that has begun. Only its first end counts. */
export interface Tracked {
  /** It has ended. */
  end(): void;
  /** It has failed. */
  fail(error?: unknown): void;
}

/** Begin a load or an inference. */
export function track(recorder: Recorder | undefined, operation: Operation, model: string, inputSize?: number): Tracked {
  const execution = guarded("models", () => recorder?.begin(site(operation, model, inputSize)));
  return {
    end: () => void guarded("models", () => execution?.finish()),
    fail: (error) => void guarded("models", () => execution && fail(execution, error)),
  };
}

function site(operation: Operation, model: string, inputSize: number | undefined) {
  const attributes = {
    "browser.model": String(model).slice(0, LONGEST),
    ...(typeof inputSize === "number" && { "browser.model.input_size": inputSize }),
  };
  return { operation, name: `model ${operation}`, attributes };
}

function fail(execution: Execution, error: unknown): void {
  const cause = verdict("re_page_error");
  execution.finish({ verdict: cause, type: error === undefined ? cause.cause : typeOf(error) });
}
