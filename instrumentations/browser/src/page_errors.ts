/** Errors that the page does not handle. */

import { SeverityNumber } from "@opentelemetry/api";
import { typeOf } from "./evidence.js";
import { guarded } from "./guard.js";
import type { Values } from "./instruments.js";
import type { Recorder } from "./recorder.js";

const ERROR: [SeverityNumber, string] = [SeverityNumber.ERROR, "ERROR"];
const LONGEST_MESSAGE = 1024;
const LONGEST_STACK = 4096;
type Source = "error" | "unhandled_rejection";

/** Record errors without a handler. Return what stops it. */
export function recordPageErrors(recorder: Recorder, messages: boolean): () => void {
  if (typeof addEventListener === "undefined") return () => undefined;
  const record = (source: Source, error: unknown): void =>
    void guarded("page_errors", () => {
      const type = typeOf(error);
      recorder.instruments.add("browser.errors", 1, { "browser.error.source": source });
      const attributes: Values = { "browser.error.source": source, "exception.type": type, ...(messages && texts(error)) };
      recorder.log("browser.exception", `${source}: ${type}`, ERROR, attributes);
    });
  const failed = (event: ErrorEvent): void => record("error", event.error);
  const rejected = (event: PromiseRejectionEvent): void => record("unhandled_rejection", event.reason);
  addEventListener("error", failed);
  addEventListener("unhandledrejection", rejected);
  return () => {
    removeEventListener("error", failed);
    removeEventListener("unhandledrejection", rejected);
  };
}

function texts(error: unknown): Values {
  if (!(error instanceof Error)) return { "exception.message": String(error).slice(0, LONGEST_MESSAGE) };
  const stack = error.stack?.slice(0, LONGEST_STACK);
  return { "exception.message": error.message.slice(0, LONGEST_MESSAGE), ...(stack && { "exception.stacktrace": stack }) };
}
