/** What the page is given for a load or an inference that has begun. Only its first end counts. */
export interface Tracked {
  /** It has ended. */
  end(): void;
  /** It has failed. */
  fail(error?: unknown): void;
}
