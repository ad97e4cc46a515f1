/** What is known of modules and instances: names from their bytes or addresses. */

import { guarded } from "./guard.js";
import { shownName } from "./names.js";

/** A module: its name, if known, and its size in bytes. */
export interface ModuleInfo {
  readonly name?: string;
  readonly size?: number;
}

const then = Promise.prototype.then;
const LONGEST = 128;
const CUSTOM = 0;
const HEADER = 8;
const modules = new WeakMap<object, ModuleInfo>();
const UNKNOWN: ModuleInfo = {};

/** Remember what is known of a module or an instance. */
export function remember(made: object, info: ModuleInfo): void {
  if (!modules.has(made)) modules.set(made, info);
}

/** Return what is known of a module or an instance. */
export function infoOf(made: unknown): ModuleInfo {
  return typeof made === "object" && made !== null ? (modules.get(made) ?? UNKNOWN) : UNKNOWN;
}

/** Read the size and the name from the bytes of a module: only the sections' headers are read. */
function infoOfBytes(source: unknown): ModuleInfo {
  const bytes = bytesOf(source);
  if (!bytes) return UNKNOWN;
  const name = moduleName(bytes);
  return name ? { name, size: bytes.length } : { size: bytes.length };
}

/** Describe what is to be compiled; of a promised response, as soon as it is there. */
export function described(source: unknown, streaming: boolean): { readonly now: ModuleInfo } {
  const found = { now: UNKNOWN };
  guarded("modules", () => {
    found.now = streaming ? infoOfResponse(source) : infoOfBytes(source);
    // The browser handles this promise in any case, so that a rejection is not hidden by observing it here.
    if (streaming && source instanceof Promise) {
      Reflect.apply(then, source, [(response: unknown) => (found.now = infoOfResponse(response)), () => undefined]);
    }
  });
  return found;
}

/** Read the name from the address of a response. */
function infoOfResponse(source: unknown): ModuleInfo {
  if (typeof Response === "undefined" || !(source instanceof Response)) return UNKNOWN;
  const name = shownName(source.url);
  return name ? { name } : UNKNOWN;
}

function bytesOf(source: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const shared = typeof SharedArrayBuffer !== "undefined" && source instanceof SharedArrayBuffer;
  return source instanceof ArrayBuffer || shared ? new Uint8Array(source) : undefined;
}

/** The name of the module in its name section, if it has one. */
function moduleName(bytes: Uint8Array): string | undefined {
  const reader = new Reader(bytes, HEADER);
  while (reader.position < bytes.length) {
    const id = bytes[reader.position++];
    const size = reader.number();
    const end = reader.position + size;
    if (id === CUSTOM && reader.text(end) === "name" && bytes[reader.position++] === 0) {
      reader.number();
      return reader.text(end);
    }
    reader.position = end;
  }
  return undefined;
}

class Reader {
  constructor(
    private readonly bytes: Uint8Array,
    public position: number,
  ) {}

  /** An unsigned LEB128 of at most 32 bits. */
  number(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.position++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  }

  /** A text that ends before a position; the guest's author chooses it. */
  text(end: number): string {
    const size = this.number();
    const start = this.position;
    this.position = Math.min(start + size, end);
    const shown = this.bytes.slice(start, Math.min(this.position, start + LONGEST * 4));
    return new TextDecoder().decode(shown).slice(0, LONGEST);
  }
}
