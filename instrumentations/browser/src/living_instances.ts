/** Instances that the page has not let go of, and their memories; nothing here keeps one alive. */

import type { Instruments } from "./instruments.js";

const PAGE = 65536;
const { Memory } = WebAssembly;
const readBuffer = Object.getOwnPropertyDescriptor(Memory.prototype, "buffer")?.get;

export class LivingInstances {
  private instances = new Set<WeakRef<object>>();
  private memories = new Set<WeakRef<WebAssembly.Memory>>();
  private readonly known = new WeakSet<object>();
  private readonly memoryOf = new WeakMap<object, WeakRef<WebAssembly.Memory>>();

  constructor(instruments: Instruments) {
    instruments.observe("wasm.active.instances", (result) => {
      this.instances = new Set([...this.instances].filter((each) => each.deref()));
      result.observe(this.instances.size);
    });
    instruments.observe("wasm.memory.usage", (result) => result.observe(this.bytes()));
    instruments.observe("wasm.memory.pages", (result) => result.observe(this.bytes() / PAGE));
  }

  /** Add an instance, with the memories that it exports or has imported. */
  add(instance: object, exports: object, imported: readonly WebAssembly.Memory[]): void {
    if (this.known.has(instance)) return;
    this.known.add(instance);
    this.instances.add(new WeakRef(instance));
    const exported = Object.values(exports).filter((value) => value instanceof Memory);
    for (const memory of [...exported, ...imported]) this.addMemory(instance, memory);
  }

  /** The bytes of the memory of an instance; undefined if it has none that is known. */
  memory(instance: object): number | undefined {
    const memory = this.memoryOf.get(instance)?.deref();
    return memory && sizeOf(memory);
  }

  private addMemory(instance: object, memory: WebAssembly.Memory): void {
    const reference = new WeakRef(memory);
    if (!this.memoryOf.has(instance)) this.memoryOf.set(instance, reference);
    if (this.known.has(memory)) return;
    this.known.add(memory);
    this.memories.add(reference);
  }

  private bytes(): number {
    let bytes = 0;
    for (const reference of this.memories) {
      const memory = reference.deref();
      if (memory) bytes += sizeOf(memory);
      else this.memories.delete(reference);
    }
    return bytes;
  }
}

function sizeOf(memory: WebAssembly.Memory): number {
  return readBuffer ? (Reflect.apply(readBuffer, memory, []) as ArrayBuffer).byteLength : 0;
}
