/** The page cannot tell that it is observed, beyond what the README lists. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IMPORTS, Page, exportsOf, guest, instance } from "./page.js";

const native = { ...Object.getOwnPropertyDescriptors(WebAssembly) };
const { Module, Instance, Table } = WebAssembly;
const readExports = Object.getOwnPropertyDescriptor(Instance.prototype, "exports")?.get as () => object;
let page: Page;
beforeEach(() => void (page = new Page()));
afterEach(() => page.leave());

describe("constructors", () => {
  it("make what they are asked for", () => {
    const module = new WebAssembly.Module(guest());
    expect(module).toBeInstanceOf(Module);
    expect(module).toBeInstanceOf(WebAssembly.Module);
    expect(module.constructor).toBe(WebAssembly.Module);
    expect(Object.getPrototypeOf(module)).toBe(WebAssembly.Module.prototype);
    expect(Object.prototype.toString.call(module)).toBe("[object WebAssembly.Module]");
  });

  it("keep their names, lengths and functions", () => {
    for (const name of ["Module", "Instance", "Table", "Global", "compile", "instantiate"] as const) {
      expect(WebAssembly[name].name).toBe(name);
      expect(WebAssembly[name].length).toBe((native[name] as { value: { length: number } }).value.length);
      expect(Function.prototype.toString.call(WebAssembly[name])).toContain("[native code]");
    }
    expect(WebAssembly.Module.exports(new WebAssembly.Module(guest("lonely"))).map(({ name }) => name)).toEqual(["memory", "nothing"]);
  });

  it("can be extended", () => {
    class Own extends WebAssembly.Module {
      readonly own = 1;
    }
    const module = new Own(guest());
    expect([module.own, module instanceof Own, module instanceof Module]).toEqual([1, true, true]);
    class OwnInstance extends WebAssembly.Instance {}
    const made = new OwnInstance(module, IMPORTS);
    expect(made).toBeInstanceOf(OwnInstance);
    expect(exportsOf(made).add!(1, 2)).toBe(3);
  });

  it("are not functions", () => {
    expect(() => (WebAssembly.Module as unknown as () => void)()).toThrow(TypeError);
    expect(() => Reflect.construct(WebAssembly.Module, [])).toThrow(TypeError);
  });

  it("have the same properties", () => {
    for (const name of Object.keys(native)) {
      const { value: _before, ...before } = native[name as keyof typeof native] as PropertyDescriptor;
      const { value: _after, ...after } = Object.getOwnPropertyDescriptor(WebAssembly, name) as PropertyDescriptor;
      expect(after, name).toEqual(before);
    }
  });

  it("make modules that can be cloned", () => {
    const clone = structuredClone(new WebAssembly.Module(guest()));
    expect(exportsOf(new WebAssembly.Instance(clone, IMPORTS)).add!(1, 2)).toBe(3);
  });
});

describe("promises", () => {
  it("are plain ones, with the results of the engine", async () => {
    const promise = WebAssembly.instantiate(guest(), IMPORTS);
    expect(Object.getPrototypeOf(promise)).toBe(Promise.prototype);
    const both = await promise;
    expect(Object.keys(both)).toEqual(["module", "instance"]);
    expect(both.instance).toBeInstanceOf(Instance);
    expect(await WebAssembly.compile(guest())).toBeInstanceOf(Module);
    expect(await WebAssembly.instantiate(both.module, IMPORTS)).toBeInstanceOf(Instance);
  });

  it("reject with the error of the engine, and are as unhandled as before", async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown, promise: unknown) => unhandled.push([reason, promise]);
    process.on("unhandledRejection", listener);
    const lost = WebAssembly.compile(new Uint8Array([1, 2, 3]));
    await expect(WebAssembly.compile(new Uint8Array([1, 2, 3]))).rejects.toBeInstanceOf(WebAssembly.CompileError);
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off("unhandledRejection", listener);
    expect(unhandled).toEqual([[expect.any(WebAssembly.CompileError), lost]]);
  });

  it("reject, and do not throw, for wrong arguments", async () => {
    await expect((WebAssembly.compile as unknown as () => Promise<unknown>)()).rejects.toBeInstanceOf(TypeError);
    await expect(WebAssembly.instantiate(guest(), 1 as never)).rejects.toBeInstanceOf(TypeError);
    await expect(WebAssembly.instantiate(guest())).rejects.toBeInstanceOf(TypeError);
  });
});

describe("imports", () => {
  it("are read once each, in the same order, from the objects of the page", async () => {
    const reads: string[] = [];
    const env = {
      get callback() {
        reads.push(`callback ${this === env}`);
        return IMPORTS.env.callback;
      },
    };
    const imports = {
      get env() {
        reads.push(`env ${this === imports}`);
        return env;
      },
    };
    await WebAssembly.instantiate(guest(), imports);
    expect(reads).toEqual(["env true", "callback true"]);
  });

  it("may be frozen, or functions", () => {
    const env = Object.assign(() => undefined, IMPORTS.env);
    expect(exportsOf(instance(Object.freeze({ env: Object.freeze(env) }) as never)).call_back!(21)).toBe(42);
  });

  it("that are missing are the same errors", () => {
    const module = new WebAssembly.Module(guest());
    const messages = [undefined, {}, { env: {} }, { env: { callback: 1 } }].map((imports) => {
      const errors = [Instance, WebAssembly.Instance].map((constructor) => {
        try {
          new constructor(module, imports as never);
          return undefined;
        } catch (error) {
          return `${(error as Error).name}: ${(error as Error).message}`;
        }
      });
      expect(errors[1]).toBe(errors[0]);
      return errors[0];
    });
    expect(new Set(messages).size).toBe(3);
  });
});

describe("exports", () => {
  it("are the same frozen object each time", () => {
    const made = instance();
    const exports = exportsOf(made);
    expect(made.exports).toBe(exports);
    expect(exports.add).toBe(exports.add);
    expect(Object.isFrozen(exports)).toBe(true);
    expect(Object.getPrototypeOf(exports)).toBe(null);
    const native = Reflect.apply(readExports, made, []) as object;
    expect(Object.keys(exports)).toEqual(Object.keys(WebAssembly.Module.exports(new WebAssembly.Module(guest())).reduce((all, { name }) => ({ ...all, [name]: 1 }), {})));
    expect(Object.getOwnPropertyDescriptor(exports, "memory")).toEqual(Object.getOwnPropertyDescriptor(native, "memory"));
    expect("exports" in made).toBe(true);
    expect(() => Reflect.apply(Object.getOwnPropertyDescriptor(WebAssembly.Instance.prototype, "exports")?.get as () => void, {}, [])).toThrow(TypeError);
  });

  it("are functions as the engine makes them", () => {
    const { add } = exportsOf(instance());
    expect([typeof add, add!.name, add!.length]).toEqual(["function", "1", 2]);
    expect(() => new (add as unknown as new () => void)()).toThrow(TypeError);
    expect(add!.call({}, 1, 2)).toBe(3);
    expect(add!("4", { valueOf: () => 5 })).toBe(9);
  });

  it("can be imported by another module, as exported functions", () => {
    const { add, spin } = exportsOf(instance());
    expect(exportsOf(instance({ env: { callback: spin } } as never)).call_back!(5)).toBe(5);
    // The engine compares types only of exported functions; any other function would be accepted here.
    expect(() => instance({ env: { callback: add } } as never)).toThrow(WebAssembly.LinkError);
  });

  it("go into tables and globals, through calls, and come back as the same", () => {
    const { table, add, identity, nothing, reference, pair } = exportsOf(instance());
    expect(table.get(1)).toBe(add);
    table.set(2, nothing as never);
    expect(table.get(2)).toBe(nothing);
    expect(table.grow(1, nothing as never)).toBe(4);
    expect(table.get(4)).toBe(nothing);
    expect(new WebAssembly.Table({ element: "anyfunc", initial: 1 }, add as never).get(0)).toBe(add);
    expect(reference.value).toBe(add);
    reference.value = nothing;
    expect(reference.value).toBe(nothing);
    expect(new WebAssembly.Global({ value: "anyfunc" } as never, add as never).value).toBe(add);
    expect(identity!(add)).toBe(add);
    expect(identity!(null)).toBe(null);
    expect(pair!()).toEqual([add, 7]);
    expect((table.get(1) as (a: number, b: number) => number)(1, 2)).toBe(3);
    expect(new Table({ element: "anyfunc", initial: 1 }).get(0)).toBe(null);
  });

  it("raise the same error object", () => {
    const mine = new Error("mine");
    const { call_back } = exportsOf(
      instance({
        env: {
          callback: () => {
            throw mine;
          },
        },
      } as never),
    );
    let caught: unknown;
    try {
      call_back!(1);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBe(mine);
  });
});

it("everything is restored", async () => {
  await page.leave();
  for (const [name, descriptor] of Object.entries(native)) {
    expect(Object.getOwnPropertyDescriptor(WebAssembly, name), name).toEqual(descriptor);
  }
  expect(Module.prototype.constructor).toBe(Module);
  expect(Object.getOwnPropertyDescriptor(Instance.prototype, "exports")?.get).toBe(readExports);
});
