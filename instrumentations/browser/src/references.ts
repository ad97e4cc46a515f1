/** Tables, globals and promising functions take exported functions, not proxies; what they give out is what the page knows. */

import { original, visible } from "./exported_functions.js";
import type { Handler, Patches } from "./patches.js";

/** Replace proxies in the argument of an index by their functions. */
function entering(index: number): Handler {
  return {
    apply: (target, receiver, args: unknown[]) => {
      if (index < args.length) args[index] = original(args[index]);
      return Reflect.apply(target, receiver, args) as unknown;
    },
  };
}

const leaving: Handler = {
  apply: (target, receiver, args) => visible(Reflect.apply(target, receiver, args)),
};

/** Patch what functions enter and leave WebAssembly by, other than imports and calls. */
export function patchReferences(patches: Patches): void {
  const { Table, Global } = WebAssembly;
  patches.replace(Table.prototype, "get", leaving);
  patches.replace(Table.prototype, "set", entering(1));
  patches.replace(Table.prototype, "grow", entering(1));
  patches.replace(Global.prototype, "valueOf", leaving);
  patches.replaceAccessor(Global.prototype, "value", "get", leaving);
  patches.replaceAccessor(Global.prototype, "value", "set", entering(0));
  patches.replace(WebAssembly, "promising", entering(0));
  for (const name of ["Table", "Global"]) {
    patches.replaceConstructor(WebAssembly, name, (make, args) => {
      if (args.length > 1) args[1] = original(args[1]);
      return make();
    });
  }
}
