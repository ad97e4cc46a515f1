/** The memory of the page's own code, which Chromium tells of. */

import type { Instruments } from "./instruments.js";

/** Read the size of the JavaScript heap whenever metrics are exported. */
export function measurePageMemory(instruments: Instruments): void {
  const { memory } = performance as Performance & { memory?: { usedJSHeapSize: number } };
  if (memory) instruments.observe("browser.memory.usage", (result) => result.observe(memory.usedJSHeapSize));
}
