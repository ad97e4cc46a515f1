/** Loads of models and inferences, which the page reports. */

import { typeOf } from "./evidence.js";
import type { Execution, Operation } from "./execution.js";
import { guarded } from "./guard.js";
import { shownName } from "./names.js";
import type { Recorder } from "./recorder.js";
import type { Tracked } from "./tracked.js";
import { verdict } from "./verdict.js";

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
    "browser.model": shownName(String(model)),
    ...(typeof inputSize === "number" && { "browser.model.input_size": inputSize }),
  };
  return { operation, name: `model ${operation}`, attributes };
}

function fail(execution: Execution, error: unknown): void {
  const cause = verdict("re_page_error");
  execution.finish({ verdict: cause, type: error === undefined ? cause.cause : typeOf(error) });
}
