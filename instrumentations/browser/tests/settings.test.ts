import { describe, expect, it } from "vitest";
import { shownName } from "../src/names.js";
import { parse } from "../src/page_trace.js";
import { choose } from "../src/settings.js";
import { settingsOf } from "../src/script.js";

const endpoint = "https://telemetry.example.com:4319";

describe("settings", () => {
  it("have defaults", () => {
    expect(choose({ endpoint })).toMatchObject({ service: "browser", functions: "none", spans: "all", messages: false });
  });

  it.each([
    [{}, "endpoint"],
    [{ endpoint: "ftp://x" }, "endpoint"],
    [{ endpoint, functions: "some" }, "functions"],
    [{ endpoint, spans: "sometimes" }, "spans"],
    [{ endpoint, interval: 5 }, "interval"],
    [{ endpoint, intervall: 5 }, "intervall"],
  ])("that are wrong are named: %j", (settings, name) => {
    expect(() => choose(settings as never)).toThrow(new RegExp(`^Cannot read the setting ${name} of sandscope: .+\\. .+\\.$`));
  });

  it("of a tag", () => {
    const data = { endpoint, functions: "run, add", messages: "true", webVitals: "off", interval: "2000", page: "checkout" };
    const settings = { endpoint, functions: ["run", "add"], messages: true, webVitals: false, interval: 2000, page: "checkout" };
    expect(settingsOf(data)).toEqual(settings);
    expect(choose(settingsOf({ endpoint, functions: "all" })).functions).toBe("all");
  });
});

describe("names", () => {
  it.each([
    ["mnist", "mnist"],
    ["llama3:8b", "llama3:8b"],
    ["onnx-community/whisper-base", "onnx-community/whisper-base"],
    ["https://user:secret@models.example.com/secret/mnist.onnx?key=secret#secret", "mnist.onnx"],
    ["https://user:secret@models.example.com", ""],
    ["/home/secret/mnist.onnx", "mnist.onnx"],
    ["../secret/mnist.onnx", "mnist.onnx"],
    ["mnist.onnx?key=secret", "mnist.onnx"],
    ["blob:https://secret.example.com/7d3a", "7d3a"],
    ["data:application/wasm;base64,secret/secret", ""],
    ["x".repeat(1000), "x".repeat(128)],
  ])("%s", (given, shown) => expect(shownName(given)).toBe(shown));
});

describe("traceparent", () => {
  const [trace, span] = ["a".repeat(32), "b".repeat(16)];
  it("is parsed", () => {
    expect(parse(` 00-${trace}-${span}-01 `)).toEqual({ traceId: trace, spanId: span, traceFlags: 1, isRemote: true });
    expect(parse(`00-${trace}-${span}-00`)?.traceFlags).toBe(0);
  });

  it.each([undefined, null, "", "nonsense", `00-${"0".repeat(32)}-${span}-01`, `00-${trace}-${"0".repeat(16)}-01`, `01-${trace}-${span}`])(
    "%s is none",
    (text) => expect(parse(text)).toBeUndefined(),
  );
});
