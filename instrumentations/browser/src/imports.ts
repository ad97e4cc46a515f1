/**
 * The imports of an instantiation, as the engine reads them.
 *
 * The engine gets what the page gave, with functions in place of proxies, and read at the same moment: a getter of the
 * page runs once, as without Sandscope. That moment also tells when the compilation has ended.
 */

import { clock } from "./clock.js";
import { original } from "./exported_functions.js";

const { Memory } = WebAssembly;

export class Imports {
  /** When the engine read the first one. */
  readAt: number | undefined;
  /** The memories among them. */
  readonly memories: WebAssembly.Memory[] = [];
  /** What to give to the engine. */
  readonly given: unknown;

  constructor(imports: unknown) {
    this.given = isObject(imports) ? this.mirror(imports, (value) => this.namespace(value)) : imports;
  }

  private namespace(value: unknown): unknown {
    this.readAt ??= clock();
    return isObject(value) ? this.mirror(value, (field) => this.field(field)) : value;
  }

  private field(value: unknown): unknown {
    if (value instanceof Memory) this.memories.push(value);
    return original(value);
  }

  /** Frozen objects may not be answered for, so the proxy's target is empty. */
  private mirror(source: object, answer: (value: unknown) => unknown): object {
    return new Proxy(Object.create(null) as object, {
      get: (_target, key) => answer(Reflect.get(source, key) as unknown),
      has: (_target, key) => Reflect.has(source, key),
    });
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}
