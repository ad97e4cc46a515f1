/** Sends what is left when the page is hidden, as it may not come back, and when it goes away. */

/** Call back when the page is hidden (`last` is false) or goes away (true). Return what stops it. */
export function whenLeaving(leave: (last: boolean) => void): () => void {
  if (typeof document === "undefined") return () => undefined;
  let last = false;
  const hidden = (): void => {
    if (document.visibilityState === "hidden") leave(last);
  };
  // Chromium tells that a page is hidden after it tells that it goes away; a page that is kept for the way back has not gone.
  const gone = (event: PageTransitionEvent): void => leave((last = !event.persisted));
  // The capturing phase of the window comes before listeners of the page.
  addEventListener("visibilitychange", hidden, true);
  addEventListener("pagehide", gone, true);
  return () => {
    removeEventListener("visibilitychange", hidden, true);
    removeEventListener("pagehide", gone, true);
  };
}
