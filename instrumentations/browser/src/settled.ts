/** Observes the end of a promise. */

import { guarded } from "./guard.js";

const then = Promise.prototype.then;

/**
 * Return a promise that settles as the given one does, after an observer was told.
 *
 * It is another promise: to observe the given one itself would mark its rejection as handled, and the page's
 * `unhandledrejection` would not be told.
 */
export function settled<T>(promise: Promise<T>, ended: (value: T) => void, failed: (error: unknown) => void): Promise<T> {
  return Reflect.apply(then, promise, [
    (value: T) => {
      guarded("promise", () => ended(value));
      return value;
    },
    (error: unknown) => {
      guarded("promise", () => failed(error));
      throw error;
    },
  ]) as Promise<T>;
}
