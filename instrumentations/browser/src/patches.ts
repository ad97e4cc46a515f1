/** Replaces functions and constructors by proxies, which keep their names, properties and identity of classes; and undoes it. */

// biome-ignore lint: any function can be patched
type Callable = (...args: any[]) => any;
export type Handler = ProxyHandler<Callable>;

export class Patches {
  private readonly undone: (() => void)[] = [];

  /** Replace a function; nothing happens if the browser lacks it. */
  replace(owner: object, name: string, handler: Handler): void {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    if (typeof descriptor?.value !== "function" || !descriptor.configurable) return;
    this.define(owner, name, descriptor, { ...descriptor, value: new Proxy(descriptor.value as Callable, handler) });
  }

  /** Replace a constructor, so that it is also the one that its instances name. */
  replaceConstructor(owner: object, name: string, construct: (made: () => object, args: unknown[]) => object): void {
    const original = (owner as Record<string, Callable>)[name];
    if (typeof original !== "function") return;
    const handler: Handler = {
      construct: (target, args, newTarget) =>
        construct(() => Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object, args),
    };
    this.replace(owner, name, handler);
    const proxy = (owner as Record<string, Callable>)[name];
    const { prototype } = original as unknown as { prototype: object };
    const descriptor = Object.getOwnPropertyDescriptor(prototype, "constructor");
    if (descriptor?.configurable) this.define(prototype, "constructor", descriptor, { ...descriptor, value: proxy });
  }

  /** Replace the getter or setter of a property. */
  replaceAccessor(owner: object, name: string, kind: "get" | "set", handler: Handler): void {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    const accessor = descriptor?.[kind];
    if (!descriptor?.configurable || !accessor) return;
    this.define(owner, name, descriptor, { ...descriptor, [kind]: new Proxy(accessor as Callable, handler) });
  }

  /** Restore all, the last one first; what the page has replaced since then stays. */
  undo(): void {
    for (const undo of this.undone.splice(0).reverse()) undo();
  }

  private define(owner: object, name: string, before: PropertyDescriptor, after: PropertyDescriptor): void {
    Object.defineProperty(owner, name, after);
    this.undone.push(() => {
      const now = Object.getOwnPropertyDescriptor(owner, name);
      const ours = now && now.value === after.value && now.get === after.get && now.set === after.set;
      if (ours) Object.defineProperty(owner, name, before);
    });
  }
}
