"""Claim: in a browser, recording a call costs little beside a guest that computes, and less without spans.

`browser_spin_*`: a call that computes for some 35 us in a real Chromium, patched over plain. `browser_call_*_us`: the
microseconds that a call takes whose guest does nothing. Nothing is measured without Chromium or `make browser`.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "instrumentations" / "browser"
SET_UP = """async ([bytes, spans]) => {
  const {get} = Object.getOwnPropertyDescriptor(WebAssembly.Instance.prototype, "exports");
  sandscope.start({endpoint: "http://127.0.0.1:9", functions: "all", webVitals: false, spans});
  const imports = {env: {callback: value => value}};
  const {instance} = await WebAssembly.instantiate(new Uint8Array(bytes), imports);
  const plain = get.call(instance), patched = instance.exports;
  window.measured = {
    plain: () => plain.spin(1000000), patched: () => patched.spin(1000000), nothing: patched.nothing};
}"""
MEASURE = """name => {
  const run = measured[name];
  const begin = performance.now();
  for (let call = 0; call < 100; call++) run();
  return (performance.now() - begin) * 10;
}"""
"""Microseconds of a call. Plain and patched calls run the same compiled code."""


def run(*, short: bool) -> dict[str, float]:
    """Measure calls in a page without the package, with it, and with it without spans."""
    script, chromium = PACKAGE / "dist" / "sandscope.js", shutil.which("chromium")
    if not script.is_file() or chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    guest = list((PACKAGE / "tests" / "guest.wasm").read_bytes())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        best = {}
        for spans in ("off", "all"):
            page = browser.new_page()
            page.route("**/v1/*", lambda route: route.fulfill(status=200, body="{}"))
            page.add_script_tag(content=script.read_text())
            page.evaluate(SET_UP, [guest, spans])
            for call in ("plain", "patched", "nothing") * (10 if short else 40):
                best[spans, call] = min(page.evaluate(MEASURE, call), best.get((spans, call), math.inf))
        browser.close()
    return {
        "browser_spin_off_over_plain": best["off", "patched"] / best["off", "plain"],
        "browser_spin_all_over_plain": best["all", "patched"] / best["all", "plain"],
        "browser_call_off_us": best["off", "nothing"],
        "browser_call_all_us": best["all", "nothing"],
    }
