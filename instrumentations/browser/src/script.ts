/** What a `<script>` tag loads: it starts by itself, with the settings of the tag's `data-` attributes. */

import { type Settings, start } from "./index.js";
import { guarded } from "./guard.js";

export * from "./index.js";

/** Read the settings of a tag. */
export function settingsOf(data: DOMStringMap): Settings {
  const { endpoint = "", functions, interval, ...texts } = data;
  const settings: Record<string, unknown> = { endpoint };
  for (const [name, text = ""] of Object.entries(texts)) {
    settings[name] = ["messages", "webVitals", "errors"].includes(name) ? text !== "false" && text !== "off" : text;
  }
  if (functions !== undefined) settings["functions"] = ["all", "none"].includes(functions) ? functions : functions.split(/[\s,]+/);
  if (interval !== undefined) settings["interval"] = Number(interval);
  return settings as unknown as Settings;
}

const tag = typeof document === "undefined" ? undefined : document.currentScript;
if (tag && "dataset" in tag && tag.dataset["endpoint"] !== undefined) {
  try {
    start(settingsOf(tag.dataset));
  } catch (error) {
    guarded("script", () => console.error(error));
  }
}
